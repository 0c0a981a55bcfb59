"""``compuerta demo``: the whole road in under a minute. Train, write, judge, save, look at a gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..texts import grouped, percent
from .base import FILE, IntRange, Refused, Texts, command, flag, option
from .models import unit_gates
from .output import clean, log, out, out_json, out_wrapped, painter

#: The numbers the model may learn from, how many of them it sees, and how it learns: some 20 s on two cores.
LIMIT, SEEN = 10_000, 3_000
SETTINGS: dict[str, Any] = {
    "hidden_size": 128, "embedding_size": 24, "batch_size": 16, "steps": 48, "learning_rate": 6e-3,
    "schedule": "cosine", "validation": 0.02,
}  # fmt: skip


def make(t: Texts) -> click.Command:
    """Return the command ``demo``."""

    @command(
        t,
        "demo",
        option("-o", "--output", type=FILE, default="numbers.safetensors"),
        option("--updates", type=IntRange(1, 1_000_000), default=700),
        option("--seed", type=IntRange(0, 2**32 - 1), default=0),
        flag("--json"),
    )
    def demo(output: Path, updates: int, seed: int, json: bool) -> None:
        import numpy as np

        from .. import files
        from ..data.numbers import corpus, from_words
        from ..interop import save
        from ..see.explain import gate_table
        from ..tasks import LanguageModel
        from ..tasks.answers import Context

        files.check_writable(output)
        corpus_file = output.with_suffix(".txt")
        if corpus_file == output or not _may_write(corpus_file):
            raise Refused("cli.demo.taken", option="--output", file=clean(str(corpus_file)))
        files.check_writable(corpus_file)
        paint = painter()
        text, numbers = corpus(t.lang, SEEN, np.random.default_rng(seed), limit=LIMIT)
        files.write_bytes(corpus_file, text.encode())
        log(t("cli.demo.task", seen=grouped(SEEN, t.lang), limit=grouped(LIMIT, t.lang), first=text.split("\n", 1)[0]))
        model = LanguageModel(updates=updates, seed=seed, **SETTINGS)
        model.learn(text, Context(lang=t.lang))

        lines = model.generate("\n", 12_000, temperature=0.8, seed=seed).split("\n")[:-1][:200]
        values = [from_words(line, t.lang) for line in lines]
        training_numbers = {int(n) for n in numbers}
        valid = [n for n in values if n is not None]
        unseen = [n for n in valid if n not in training_numbers]
        save(model, output)
        good = [line for line, n in zip(lines, values, strict=True) if n is not None and 15 <= len(line) <= 32]
        word = good[0] if good else (lines[0] if lines else "") or "?"
        trace = model.traced(word)
        gates, unit = unit_gates(trace)
        if json:
            out_json({
                "model": output, "corpus": corpus_file, "written": len(lines), "valid": len(valid),
                "unseen": len(unseen), "bits_per_char": model.report_["bits_per_char"],
                "unigram": model.report_["unigram"], "seconds": model.report_["seconds"], "lines": lines[:10],
                "word": word, "unit": unit + 1, "gates": gates,
            })  # fmt: skip
            return

        out(paint(t("cli.demo.wrote"), "title"))
        for line, value in list(zip(lines, values, strict=True))[:8]:
            mark = t("cli.demo.invalid") if value is None else f"= {value:<5}"
            if value is not None and value not in training_numbers:
                mark += t("cli.demo.new")
            line = clean(line)
            out(f"  {line if len(line) <= 48 else line[:47] + '…':<48} {mark}".rstrip())
        share = percent(len(valid) / max(1, len(lines)), t.lang)
        out_wrapped(t("cli.demo.judged", written=len(lines), valid=len(valid), share=share, unseen=len(unseen)))
        out_wrapped(t("cli.demo.chance", share=percent(1 - SEEN / LIMIT, t.lang)))
        out("")
        out(paint(t("cli.demo.gates", unit=unit + 1, units=SETTINGS["hidden_size"], word=word), "title"))
        out(gate_table(list(word), gates, t.lang, kind=trace.kind_of(0)))
        out("")
        log(t("cli.demo.saved", model=clean(str(output)), corpus=clean(str(corpus_file))))
        for line in t("cli.demo.next", model=clean(str(output)), corpus=clean(str(corpus_file))).split("\n"):
            log(line)

    return demo


def _may_write(path: Path) -> bool:
    """Return whether there is no such file, or it is a text that a demo wrote: a person's file is left alone."""
    from ..data import from_words
    from ..texts import LANGUAGES

    if not path.exists():
        return True
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return any(all(from_words(line, lang) is not None for line in lines) for lang in LANGUAGES)
