"""Lines that several commands print about how good a model is, always beside the figure to beat."""

from __future__ import annotations

from typing import Any

from .base import Texts


def language_lines(t: Texts, report: dict[str, Any]) -> list[str]:
    """Tell bits per character on the held-out part beside the unigram figure."""
    speed = t("cli.report.updates", updates=report["updates"], seconds=f"{report['seconds']:.0f}")
    if report["bits_per_char"] is None:
        return [t("cli.report.no_held_out"), speed]
    return [*bits_lines(t, report["bits_per_char"], report["unigram"]), speed]


def bits_lines(t: Texts, bits: float, unigram: float, *, held_out: bool = True) -> list[str]:
    """Tell one figure of bits per character beside the unigram figure; if the baseline wins, say so."""
    lines = [
        t("cli.report.bits" if held_out else "cli.report.bits_here", bits=f"{bits:.3f}"),
        t("cli.report.unigram", bits=f"{unigram:.3f}"),
    ]
    if bits >= unigram:
        lines.append(t("cli.report.unigram_wins"))
    return lines


def backtest_lines(t: Texts, report: dict[str, Any]) -> list[str]:
    """Tell the errors of the backtest beside those of the seasonal naive forecast; if that wins, say so."""
    test = report["backtest"]
    if test is None:
        return [t("cli.report.no_backtest", n=report["n"])]
    lines = [
        t("cli.report.backtest", origins=test["origins"], horizon=test["horizon"], period=test["period"]),
        f"  {'':24}{'MAE':>12}{'MASE':>8}",
        f"  {t('cli.report.lstm'):24}{test['mae']:>12.4g}{test['mase']:>8.2f}",
        f"  {t('cli.report.seasonal_naive' if test['period'] > 1 else 'cli.report.naive'):24}"
        f"{test['naive_mae']:>12.4g}{test['naive_mase']:>8.2f}",
    ]
    if test["mase"] >= test["naive_mase"]:
        lines.append(t("cli.report.naive_wins"))
    return lines
