"""``compuerta generate``: let a language model write."""

from __future__ import annotations

from pathlib import Path

import click

from .base import FILE, Choice, FloatRange, IntRange, Texts, argument, command, flag, option
from .output import clean, log, out, out_json


def make(t: Texts) -> click.Command:
    """Return the command ``generate``."""
    from ..data.text import UNKNOWN

    @command(
        t,
        "generate",
        argument("model", FILE),
        option("--prompt", default=""),
        option("--length", type=IntRange(1, 10_000_000), default=500),
        option("--temperature", type=FloatRange(0, 100), default=0.8),
        option("--top-k", type=IntRange(1, 1_000_000)),
        option("--top-p", type=FloatRange(0, 1, open_low=True)),
        option("--stop"),
        option("--unknown", type=Choice(UNKNOWN), default="skip"),
        option("--seed", type=IntRange(0, 2**32 - 1)),
        flag("--json"),
    )
    def generate(
        model: Path,
        prompt: str,
        length: int,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        stop: str | None,
        unknown: str,
        seed: int | None,
        json: bool,
    ) -> None:
        from .models import open_task

        task = open_task(model, "generate")
        stop = stop.replace("\\n", "\n").replace("\\t", "\t") if stop is not None else None
        readable, notes = task.in_vocabulary(prompt, unknown)
        prompt = str(readable)
        for note in notes:
            log(t.tell(note))
        text = task.generate(prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, stop=stop, seed=seed)
        if json:
            out_json({"prompt": prompt, "text": text})
        else:
            out(clean(prompt + text, lines=True))

    return generate
