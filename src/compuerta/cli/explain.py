"""``compuerta explain``: one step of an LSTM by hand, every gate with its numbers and what they mean."""

from __future__ import annotations

import click

from .base import IntRange, Texts, command, flag, option
from .output import out, out_json, painter


def make(t: Texts) -> click.Command:
    """Return the command ``explain``."""

    @command(
        t,
        "explain",
        option("--seed", type=IntRange(0, 2**32 - 1), default=42),
        option("--input-size", type=IntRange(1, 1000), default=4),
        option("--hidden-size", type=IntRange(1, 1000), default=3),
        flag("--json"),
    )
    def explain(seed: int, input_size: int, hidden_size: int, json: bool) -> None:
        from ..see.explain import drawn_step, explain_step, numbers

        step = drawn_step(seed, input_size, hidden_size)
        if json:
            out_json({"seed": seed, "input_size": input_size, "hidden_size": hidden_size, **numbers(step)})
        else:
            out(explain_step(step, t.lang, origin=t("cli.explain.origin", seed=seed), paint=painter()))
            out("\n" + t("cli.explain.next", seed=(seed + 1) % 2**32))

    return explain
