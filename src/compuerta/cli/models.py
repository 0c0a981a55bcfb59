"""Opening a model file for a command that needs one kind of model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Phrase, SettingError
from ..texts import say
from .base import Refused, Texts
from .output import clean

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


class Picture:
    """A picture that will be written, of which it is already known that it can be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def forecast(self, series: Any, made: Any, lang: str) -> None:
        """Draw a forecast."""
        from ..see import plots

        labels = None
        if series.dates is not None and made.dates is not None:
            labels = [series.label(d) for d in (*series.dates, *made.dates)]
        plots.write(
            plots.forecast(series.values, made.mean, made.lower, made.upper, naive=made.seasonal_naive, labels=labels,
                           name=series.name, lang=lang),
            self.path,
        )  # fmt: skip

    def training(self, report: dict[str, Any], lang: str) -> None:
        """Draw the training curve of a language model, in bits per character."""
        from ..see import plots
        from ..tasks.language_model import LN2

        drawn = plots.training(
            report["losses"], report["updates"], report["validations"], scale=1 / LN2,
            unit=say("plot.bits", lang), lang=lang,
        )  # fmt: skip
        plots.write(drawn, self.path)


def picture(path: Path | None) -> Picture | None:
    """Return what will draw to ``path``; None for None.

    Raises:
        Refused: the name ends in neither .png nor .svg.
        MissingExtraError, SettingError, OSError: there is no matplotlib, or the file could not be written.
    """
    if path is None:
        return None
    from .. import files
    from ..see import plots

    if path.suffix.lower() not in (".png", ".svg"):
        raise Refused("cli.look.output_kind", option="--plot", known=".png, .svg", got=clean(path.name))
    plots.figure()
    files.check_writable(path)
    return Picture(path)


def line_start(model: Any) -> str:
    """Return what a language model reads before a text: a line break, where it knows one."""
    return "\n" if "\n" in model.vocabulary_ else ""


def model_trace(model: Any, text: str) -> Any:
    """Return the trace of a language model along ``text``.

    A line break goes before the text where the model knows one, as at a line's beginning; it is left out of the trace,
    and its steps are numbered as the characters of the text are.
    """
    import numpy as np

    model.vocabulary_.encode(text)  # alone, so that an error names the place in the text as it was given
    before = line_start(model)
    trace = model.trace(before + text).select(steps=slice(len(before), None))
    trace.steps = np.arange(len(text))
    return trace


def liveliest(trace: Any, layer: int) -> int:
    """Return the unit whose memory and whose keeping of it move most along a trace, as its place."""
    import numpy as np

    names = trace.names_of(layer)
    keeps = trace["f" if "f" in names else "z", layer][0]
    holds = trace["c" if "c" in names else "h", layer][0]
    return int(np.argmax(np.nan_to_num(np.ptp(keeps, axis=0) * np.ptp(holds, axis=0))))


def unit_gates(model: Any, text: str, unit: int | None = None, layer: int = 0) -> tuple[dict[str, Any], int]:
    """Return the gates of one unit of a language model along ``text``, and which unit (from 0).

    Without ``unit`` it is the one whose memory and whose keeping of it move most.
    """
    trace = model_trace(model, text)
    unit = liveliest(trace, layer) if unit is None else unit
    names = trace.names_of(layer)
    keys = [key for key in ("f", "i", "g", "o", "c", "r", "z", "n", "h") if key in names]
    return {key: trace[key, layer][0, :, unit] for key in keys}, unit
