"""Lines that several commands print about how good a model is, always beside the figure to beat."""

from __future__ import annotations

import math
from typing import Any

from .base import Texts


def language_lines(t: Texts, report: dict[str, Any]) -> list[str]:
    """Tell bits per character on the held-out part beside the unigram figure."""
    speed = t("cli.report.updates", updates=report["updates"], seconds=f"{report['seconds']:.0f}")
    if report["bits_per_char"] is None:
        interrupted = report["train_characters"] < report["characters"]
        return [t("cli.report.not_measured" if interrupted else "cli.report.no_held_out"), speed]
    return [*bits_lines(t, report["bits_per_char"], report["unigram"]), speed]


def bits_lines(t: Texts, bits: float, unigram: float, *, held_out: bool = True) -> list[str]:
    """Tell one figure of bits per character beside the unigram figure; if the baseline wins, say so."""
    where = "" if held_out else "_here"
    lines = [
        t(f"cli.report.bits{where}", bits=f"{bits:.3f}"),
        t(f"cli.report.unigram{where}", bits=f"{unigram:.3f}"),
    ]
    if bits >= unigram:
        lines.append(t("cli.report.unigram_wins"))
    return lines


def backtest_lines(t: Texts, report: dict[str, Any]) -> list[str]:
    """Tell the errors of the backtest beside those of the seasonal naive forecast; if that wins, say so."""
    test = report["backtest"]
    if test is None:
        return [t("cli.report.no_backtest", n=report["n"]) if report["origins"] else t("cli.report.not_asked")]
    seasonal = test["period"] > 1
    figures = [(t("cli.report.lstm"), test["mae"], test["mase"]),
               (t("cli.report.seasonal_naive" if seasonal else "cli.report.naive"), test["naive_mae"],
                test["naive_mase"])]  # fmt: skip
    digits = decimals([mae for _, mae, _ in figures])
    lines = [
        t("cli.report.backtest", origins=test["origins"], horizon=test["horizon"]),
        t("cli.report.season", period=test["period"]) if seasonal else t("cli.report.no_season"),
        f"  {'':24}{'MAE':>12}{'MASE':>8}",
        *(f"  {name:24}{mae:>12.{digits}f}{mase:>8.2f}" for name, mae, mase in figures),
        t("cli.report.mase"),
    ]
    if not lstm_wins(report):
        lines.append(t("cli.report.naive_wins"))
    return lines


def lstm_wins(report: dict[str, Any]) -> bool:
    """Return whether the LSTM was better than the naive forecast in the backtest, as far as there was one."""
    from ..tasks import Backtest

    test = report["backtest"]
    return test is None or Backtest(**test).wins


def decimals(values: list[float]) -> int:
    """Return how many decimals show four figures of the largest value: the same for all, so that points align."""
    largest = max((abs(value) for value in values), default=1.0)
    return min(6, max(0, 3 - math.floor(math.log10(largest)))) if largest > 0 else 0
