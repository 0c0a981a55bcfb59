"""Find the unit that follows something in a text, and test whether it is more than chance.

A unit is chosen on one part of the text and judged on another. The same search is run with labels shifted round the
text, which keep their runs but lose their meaning: its best score there is what chance gives. And a unit that follows
quotes need not be what the model uses to close them: :func:`cost_of_clamping` clamps it and scores the model again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import NonFiniteError, SettingError, ShapeError

if TYPE_CHECKING:
    from ..layers import Trace

Array = NDArray[Any]

_OPENING, _CLOSING = "«“‘„", "»”’“"
#: Steps at the beginning that are left out: the state is still that of no text.
WARM_UP = 20


def labels_of(text: str, what: str) -> Array:
    r"""Return a label for each character of a text, (T,).

    Args:
        text: the text.
        what: ``"quotes"``: whether it is between quotation marks (``"…"``, ``«…»``, ``“…”``), marks included;
            ``"dialogue"``: whether it is speech, marked by dashes: one opens, the next one closes, and a
            paragraph ends; ``"words"``: whether it is the last of a word; ``"lines"``: its column, counted from 0;
            anything else is a regular expression: whether it lies in one of its matches.

    Returns:
        booleans, or floats for ``"lines"``.

    Raises:
        SettingError: the regular expression cannot be read.

    >>> labels_of('a "b" c', "quotes").astype(int)
    array([0, 0, 1, 1, 1, 0, 0])
    >>> "".join(c for c, said in zip("—Ya —dijo—. Ven.", labels_of("—Ya —dijo—. Ven.", "dialogue")) if said)
    '—Ya —. Ven.'
    >>> labels_of("to be", "words").astype(int)
    array([0, 1, 0, 0, 1])
    >>> labels_of("ab\nc", "lines")
    array([0., 1., 2., 0.])
    >>> labels_of("a 12 b 3", r"\d+").astype(int)
    array([0, 0, 1, 1, 0, 0, 0, 1])
    """
    if what == "quotes":
        return _quotes(text)
    if what == "dialogue":
        return _dialogue(text)
    if what == "words":
        return np.array([c.isalnum() and not (text[k + 1 : k + 2]).isalnum() for k, c in enumerate(text)], bool)
    if what == "lines":
        column, columns = 0, []
        for c in text:
            columns.append(float(column))
            column = 0 if c == "\n" else column + 1
        return np.array(columns)
    try:
        pattern = re.compile(what)
    except (re.error, RecursionError, OverflowError) as error:
        raise SettingError("error.search_pattern", got=what, why=str(error)) from None
    labels = np.zeros(len(text), bool)
    for match in pattern.finditer(text):
        labels[match.start() : match.end()] = True
    return labels


def _quotes(text: str) -> Array:
    labels, depth, straight = np.zeros(len(text), bool), 0, False
    for k, c in enumerate(text):
        if c == '"':
            labels[k] = True
            straight = not straight
            continue
        if c in _OPENING and not (c == "“" and depth and "„" in text):
            depth += 1
            labels[k] = True
        elif c in _CLOSING and depth:
            labels[k] = True
            depth -= 1
            continue
        labels[k] |= straight or depth > 0
    return labels


def _dialogue(text: str) -> Array:
    labels, inside = np.zeros(len(text), bool), False
    end = "\n\n" if "\n\n" in text else "\n"  # of a paragraph: lines may be broken within it
    for k, c in enumerate(text):
        if c == "—":
            inside = not inside
        inside = inside and text[k : k + len(end)] != end
        labels[k] = inside
    return labels


def auroc(values: ArrayLike, labels: ArrayLike) -> Array:
    """Return for each column the chance that a labelled value is above one that is not, ties for half: 0.5 is none.

    From ranks, the statistic of Mann and Whitney. NaN where all labels are the same.

    Args:
        values: (T,) or (T, H), finite. labels: (T,) booleans.

    >>> float(auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]))
    0.75
    """
    v = np.asarray(values, np.float64)
    return _auroc_of_ranks(_ranks(v.reshape(len(v), -1)), np.asarray(labels, bool)).reshape(v.shape[1:])


def _ranks(columns: Array) -> Array:
    """Return the rank of each value in its column, from 1; those that are equal share the mean of theirs."""
    out = np.empty(columns.shape)
    for k, column in enumerate(columns.T):
        order = np.argsort(column, kind="stable")
        _, first, counts = np.unique(column[order], return_index=True, return_counts=True)
        out[order, k] = np.repeat(first + (counts + 1) / 2, counts)
    return out


def _auroc_of_ranks(ranks: Array, y: Array) -> Array:
    positive = int(y.sum())
    if not 0 < positive < len(y):
        return np.full(ranks.shape[1], np.nan)
    above: Array = ranks[y].sum(axis=0) - positive * (positive + 1) / 2
    return above / (positive * (len(y) - positive))


def correlation(values: ArrayLike, labels: ArrayLike) -> Array:
    """Return for each column Pearson's correlation with the labels; 0 for one that does not move.

    >>> round(float(correlation([1.0, 2.0, 4.0], [0.0, 1.0, 3.0])), 6)
    1.0
    """
    v, y = np.asarray(values, np.float64), np.asarray(labels, np.float64)
    v, y = v - v.mean(axis=0), y - y.mean()
    with np.errstate(all="ignore"):
        r = np.einsum("t,t...->...", y, v) / np.sqrt((y * y).sum() * (v * v).sum(axis=0))
    result: Array = np.where(np.isfinite(r), r, 0.0)
    return result


@dataclass(frozen=True)
class UnitScore:
    """A unit that follows the labels.

    Attributes:
        key, layer, unit: which; ``unit`` as it is numbered in the model, from 0.
        score: on the part of the text that it was not chosen on: AUROC for yes-or-no labels, the absolute correlation
            for numbers. Above 0.5 or 0 by as much as it follows.
        selection_score: the same on the part that it was chosen on.
        sign: 1 where it is high at the labels, −1 where it is low.
    """

    key: str
    layer: int
    unit: int
    score: float
    selection_score: float
    sign: int


@dataclass(frozen=True)
class Search:
    """The units that follow something best, and what chance would have found.

    Attributes:
        best: the best first, as chosen on the first part of the text.
        baseline: the scores that the best unit reached with labels shifted round the text, as many as were tried.
        kind: "auroc" or "correlation".
        steps: steps that it was judged on. positive: of them with the label, for yes-or-no labels.
    """

    best: list[UnitScore]
    baseline: list[float]
    kind: str
    steps: int
    positive: int

    @property
    def chance(self) -> float:
        """The best score that a search reached with shifted labels."""
        return max(self.baseline)


def shifts_of(steps: int, count: int = 20, seed: int = 0) -> NDArray[np.int64]:
    """Return by how many steps labels of a text are shifted round it to ask chance, (count,).

    >>> shifts_of(400, 3)
    array([326, 249, 204])
    """
    return np.random.default_rng(seed).integers(WARM_UP, steps - WARM_UP, count)


def find_units(
    trace: Trace,
    labels: ArrayLike,
    keys: tuple[str, ...] | None = None,
    *,
    top: int = 5,
    shifts: int = 20,
    seed: int = 0,
) -> Search:
    """Rank all units of all layers, as they read forward, by how well they follow ``labels``.

    Units are chosen on the first half of the trace and judged on the second; the first 20 steps count for neither.

    Args:
        trace: of one row, long enough: some hundred steps.
        labels: (T,), booleans for yes and no, numbers for something that is followed by degrees.
        keys: which quantities; None for the memory and the output: c and h, or h alone.
        top: how many to return.
        shifts: how often chance is asked.
        seed: of the shifts.

    Raises:
        ShapeError: labels and trace differ in length.
        NonFiniteError: a label is NaN or infinite.
        SettingError: the trace has more than one row, is too short, or in one of its halves all labels are the same.
        NonFiniteError: no unit is finite at all steps; units that are not are left out of the search.

    Source: Karpathy, Johnson and Fei-Fei 2015 for such units; Radford, Jozefowicz and Sutskever 2017.

    >>> import compuerta
    >>> x = np.random.default_rng(0).normal(size=(400, 1))
    >>> _, trace = compuerta.LSTM(1, 8, rng=0).trace(x)
    >>> found = find_units(trace, trace["c", 0][0, :, 3] > 0)
    >>> found.best[0].unit, found.best[0].score
    (3, 1.0)
    """
    y = np.asarray(labels)
    n, t = trace.shape
    checks.count(top, "top")
    checks.count(shifts, "shifts")
    if n != 1:
        raise SettingError("error.trace_one_row", got=n)
    if y.shape != (t,) or y.dtype.kind not in "biuf":
        raise ShapeError("error.search_labels", expected=t, got=f"{y.dtype.name} {y.shape}")
    if y.dtype.kind == "f":
        checks.finite(y, "find_units", "labels")
    if t < 3 * WARM_UP:
        raise SettingError("error.search_short", got=t, expected=3 * WARM_UP)
    yes = y.dtype.kind == "b"
    middle = (WARM_UP + t) // 2
    for half in (y[WARM_UP:middle], y[middle:]):
        if len(np.unique(half)) < 2:
            raise SettingError("error.search_same", got=str(half[0]))
    places, columns = _columns(trace, keys)
    finite = np.isfinite(columns).all(axis=0)
    if not finite.any():
        raise NonFiniteError("error.search_not_finite")
    places, columns = [places[k] for k in np.flatnonzero(finite)], columns[:, finite]

    halves = slice(WARM_UP, middle), slice(middle, t)
    parts = [_ranks(columns[s]) if yes else columns[s] for s in halves]  # ranks do not change with the labels
    measure = _auroc_of_ranks if yes else correlation

    def look(labels_now: Array) -> list[Array]:
        scores = (measure(part, labels_now[s]) for part, s in zip(parts, halves, strict=True))
        return [score - 0.5 if yes else score for score in scores]

    first, second = look(y)
    order = np.argsort(-np.abs(first), kind="stable")[:top]
    best = []
    for k in order:
        sign = 1 if first[k] >= 0 else -1
        key, layer, unit = places[k]
        best.append(UnitScore(key, layer, unit, _score(sign * second[k], yes), _score(abs(first[k]), yes), sign))
    baseline = []
    for shift in shifts_of(t, shifts, seed):
        early, late = look(np.roll(y, int(shift)))
        if np.isfinite(early).any() and np.isfinite(late).any():
            k = int(np.nanargmax(np.abs(early)))
            baseline.append(_score(float(np.sign(early[k]) * late[k]), yes))
    positive = int(y[middle:].sum()) if yes else 0
    return Search(best, baseline or [0.5 if yes else 0.0], "auroc" if yes else "correlation", t - middle, positive)


def _columns(trace: Trace, keys: tuple[str, ...] | None) -> tuple[list[tuple[str, int, int]], Array]:
    """Return every unit of the quantities asked for, and its values (T, units of all)."""
    places: list[tuple[str, int, int]] = []
    parts: list[Array] = []
    for layer in range(trace.layers):
        kind = trace.kind_of(layer)
        for key in keys if keys is not None else dict.fromkeys((kind.memory.quantity, kind.parts[0])):
            if key not in kind:
                continue
            values = trace[key, layer][0].astype(np.float64)
            numbers = trace.units[layer] if values.shape[1] == len(trace.units[layer]) else np.arange(values.shape[1])
            places += [(key, layer, int(u)) for u in numbers]
            parts.append(values)
    if not parts:
        raise SettingError("error.choice", name="keys", known=", ".join(trace.names), got=repr(keys))
    return places, np.concatenate(parts, axis=1)


def _score(centred: float, yes: bool) -> float:
    return float(centred) + 0.5 if yes else float(centred)


class Scored(Protocol):
    """A model that scores a text and whose units can be clamped."""

    def score(self, text: str, *, clamp: Mapping[Any, float] | None = None) -> float:
        """Return bits per character."""

    def trace(self, text: str) -> Trace:
        """Return what it computes along a text."""


def cost_of_clamping(model: Scored, text: str, key: str, layer: int, unit: int, value: float | None = None) -> Cost:
    """Clamp one unit, score the text again, and return both costs.

    Args:
        model: a language model. text: what to score.
        key, layer, unit: which.
        value: None for its mean along the text, which removes only the information in its changes.

    Raises:
        SettingError: there is no such unit.
        DataError: the text is too short, or has a character that the model does not know.

    >>> from compuerta import LanguageModel
    >>> text = "la luna, la luz, la lana. " * 20
    >>> model = LanguageModel(hidden_size=8, embedding_size=4, updates=80, batch_size=2, steps=16).fit(text)
    >>> cost_of_clamping(model, text, "h", 0, 3).clamped > 0
    True
    """
    if value is None:
        values = model.trace(text)[key, layer]
        if not 0 <= unit < values.shape[2]:
            raise SettingError("error.reading_place", what="unit", got=unit, count=values.shape[2])
        value = float(values[0, :, unit].astype(np.float64).mean())
    return Cost(value, model.score(text), model.score(text, clamp={(key, layer, unit): value}))


@dataclass(frozen=True)
class Cost:
    """Bits per character of the free model, and of the model with a unit clamped at ``value``."""

    value: float
    free: float
    clamped: float
