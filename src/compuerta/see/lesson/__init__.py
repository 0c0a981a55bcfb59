"""The lesson: an LSTM in eleven steps, on the page of gates, with a small trained model that is kept beside this file.

Every number that a step names is read off the model when the page is made; what the texts say about them stands in the
catalogues, ``lesson.<step>.<part>``. The model was made by ``benchmarks/lesson.py``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ... import files
from ...activations import softmax
from ...layers import Trace
from ...tasks import LanguageModel
from ...texts import language, say
from ..html import page
from ..readings import ledger
from ..scene import of_trace

FOLDER = Path(__file__).parent
#: What the model reads in the lesson, and the unit (counted from 0) that keeps the bracket in mind.
TEXT, UNIT = "(abcacb) [bca] (c) [abbaccab] (cabbacbacb) ", 2
#: The numbers of a drawing that are left out while they are asked for.
_ALL = "f i g o kept wrote after tanh h1"


def model(name: str = "trained") -> LanguageModel:
    """Return the model of the lesson, "trained" or "untrained" (as it began).

    >>> model().hidden_size
    6
    """
    path = FOLDER / f"{name}.safetensors"
    tensors, content = files.read(path)
    return LanguageModel.from_file(tensors, content, os.fspath(path))


def lesson(path: str | os.PathLike[str] | None = None, *, lang: str | None = None) -> str:
    """Return the lesson as a whole HTML document; with ``path`` it is written there too.

    Args:
        path: a file to write, whole or not at all.
        lang: the language that it opens in; both are in it.

    Raises:
        OSError: the file cannot be written.

    >>> lesson(lang="es").startswith("<!DOCTYPE html>")
    True
    """
    trained = model()
    trace = trained.trace(TEXT)
    scene = of_trace(trace, title=say("lesson.title", language(lang)))
    scene.lesson = steps(trace, str(trained.vocabulary_.characters))
    return page(scene, other=of_trace(model("untrained").trace(TEXT)), path=path, lang=lang)


def steps(trace: Trace, characters: str) -> list[dict[str, Any]]:
    """Return the eleven steps: name, place in the text, what is drawn and asked, the right answer, and its numbers.

    ``views`` are shown at once, ``after`` when the question is answered. ``answer`` follows from the numbers.
    """
    f, i, g, o, c, h = (trace[q, 0][0, :, UNIT].astype(np.float64) for q in "figoch")
    start, end = TEXT.rindex("("), TEXT.rindex(")")
    last, n = end - 1, end - 1 - start
    inside = slice(start + 1, end)
    square = TEXT.rindex("[")
    assert trace.y is not None
    expected = softmax(trace.y[0, last].astype(np.float64))
    round_, square_ = (float(expected[characters.index(bracket)]) for bracket in ")]")
    shares = ledger(trace, step=last).shares[:, UNIT]
    letters, product = float(shares[inside].sum()), float(np.prod(f[inside]))
    before = float(c[square - 1])
    sums = [before + i[square] * g[square], f[square] * before + i[square] * g[square],
            f[square] * before - i[square] * g[square]]  # fmt: skip
    slopes = [_slope(b, n) for b in (-2.0, 0.0, 2.0)]

    def nearest(value: float, *others: float) -> int:
        return int(np.argmin([abs(value - other) for other in others]))

    return [
        _step("sequence", last, "c", "in", "", _most(round_ > 2 * square_, square_ > 2 * round_, True),
              ["ribbon"], [], char=TEXT[last], n=n, round=round_, square=square_),
        _step("conveyor", start + 1, "c", "c0 c1 c", "", nearest(c[last], 0.0, c[start + 1], -c[start + 1]),
              ["ribbon", "cell"], [], first=c[start + 1], later=c[last], n=last - start - 1, step=last + 1),
        _step("forget", start + 5, "f", "c0 f", _ALL, nearest(f[start + 5], 0.0, 0.5, 1.0),
              ["cell"], ["ribbon"], char=TEXT[start + 5], before=c[start + 4], f=f[start + 5],
              kept=f[start + 5] * c[start + 4], closing=f[end]),
        _step("input", start + 5, "i", "i", _ALL, int(np.argmax([i[start], i[inside].mean()])),
              ["cell"], ["ribbon"], char=TEXT[start + 5], opening=i[start], mean=float(i[inside].mean())),
        _step("candidate", start, "g", "g", "", nearest(g[square], -g[start], g[start], 0.0),
              ["cell"], ["ribbon"], round=g[start], square=g[square]),
        _step("memory", square, "c", "c0 c1 c f i g ig", "kept wrote after tanh h1", nearest(c[square], *sums),
              ["cell"], ["ribbon"], before=before, f=f[square], i=i[square], g=g[square],
              a=sums[0], b=sums[1], c=sums[2], kept=f[square] * before, wrote=i[square] * g[square]),
        _step("output", square, "o", "c o h", "o h1", nearest(h[square], 0.0, np.tanh(c[square]), -np.tanh(c[square])),
              ["cell"], ["ribbon"], memory=c[square], shown=np.tanh(c[square]), o=o[square], h=h[square],
              o_next=o[square + 1], h_next=h[square + 1]),
        _step("whole", end, "c", "", _ALL, nearest(c[end], -c[last], c[last], 0.0),
              ["cell"], ["ribbon"], before=c[last], f=f[end], i=i[end], left=c[end], f_next=f[end + 1],
              i_next=i[end + 1], g_next=g[end + 1], c_next=c[end + 1]),
        _step("ledger", last, "c", "", "", int(np.argmax(np.abs([letters, shares[start], shares[last]]))),
              ["ribbon"], ["ledger"], memory=c[last], n=n, opening=shares[start], space=shares[start - 1],
              letters=letters, kept=f[start]),
        _step("gradient", last, "f", "", "", nearest(product, product, 0.5**n, 1 / product),
              ["ribbon"], ["flow"], n=n, half=0.5**n, kept=product, least=float(f[inside].min()), closing=f[end]),
        _step("train", last, "f", "", "", int(np.argmin(slopes)),
              [], ["train", "compare"], n=n, low=slopes[0], zero=slopes[1], high=slopes[2], f=float(f[inside].mean())),
    ]  # fmt: skip


def _step(
    name: str, t: int, q: str, lit: str, question: str, answer: int, views: list[str], after: list[str], **values: Any
) -> dict[str, Any]:
    """Return one step as the page wants it."""
    numbers = {key: value if isinstance(value, str | int) else float(value) for key, value in values.items()}
    return {"name": name, "t": t, "u": UNIT, "q": q, "lit": lit, "asked": question, "answer": "abc"[answer],
            "views": views, "after": after, "values": numbers}  # fmt: skip


def _most(*claims: bool) -> int:
    """Return the first claim that is true."""
    return claims.index(True)


def _slope(b: float, n: int) -> float:
    """Return d(1 − fⁿ)²/db for f = σ(b): how steep the loss of a gate is that is to remember over n steps."""
    f = float(1 / (1 + np.exp(-b)))
    share = f**n
    slope: float = -2 * (1 - share) * n * share * (1 - f)
    return slope
