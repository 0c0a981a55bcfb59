"""Opening a model file for a command that needs one kind of model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Phrase, SettingError
from .base import Texts

if TYPE_CHECKING:
    from ..training import Callback

Kind = TypeVar("Kind")


def _kind(kind: type) -> Phrase:
    """Return the name of a kind of model in words."""
    known = {"LanguageModel": "kind.language", "Forecaster": "kind.forecast", "Task": "kind.task"}
    return Phrase(known.get(kind.__name__, "kind.layer"))


def open_model(path: Path, kind: type[Kind]) -> Kind:
    """Return the model of a file.

    Raises:
        SettingError: it is of another kind; the sentence says which commands fit it.
        FileFormatError, OSError: it is no model file, or cannot be opened.
    """
    from ..interop import load

    model: Any = load(path)
    if not isinstance(model, kind):
        raise SettingError("error.other_kind", path=os.fspath(path), got=_kind(type(model)), expected=_kind(kind))
    return model


def bars(t: Texts) -> Callable[[str], Sequence[Callback]]:
    """Return what gives each of a forecaster's networks its progress bar; a bar goes when its network is done."""
    from ..training import Progress

    def bar(label: str) -> list[Callback]:
        fold, _, network = label.rpartition(" · ")
        said = t("progress.fold", fold=fold, network=network) if fold else t("progress.network", network=network)
        return [Progress(t.lang, name=t("progress.error"), label=said, leave=False)]

    return bar


def unit_gates(model: Any, text: str, unit: int | None = None) -> tuple[dict[str, Any], int]:
    """Return the gates of one unit of a language model along ``text``, and which unit (from 0).

    Without ``unit`` it is the one whose memory and whose keeping of it move most. The first recurrent layer is read;
    a line break goes before the text where the model knows one, as at a line's beginning.
    """
    import numpy as np

    model.vocabulary_.encode(text)  # alone, so that an error names the place in the text as it was given
    before = "\n" if "\n" in model.vocabulary_ else ""
    trace = model.trace(before + text)
    keys = ("f", "i", "g", "o", "c", "h") if "f" in trace.names else ("r", "z", "n", "h")
    every = {key: trace[key, 0][0, len(before) :] for key in keys}
    keeps, holds = (every["f"], every["c"]) if "f" in every else (every["z"], every["h"])
    if unit is None:
        unit = int(np.argmax(np.ptp(keeps, axis=0) * np.ptp(holds, axis=0)))
    return {key: values[:, unit] for key, values in every.items()}, unit
