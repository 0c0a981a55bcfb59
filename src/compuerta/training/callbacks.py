"""What is told of a run while it goes on: a progress bar, early stopping, checkpoints, and whatever one writes."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks, files
from ..texts import say
from .batches import Source
from .trainer import Callback, Trainer

Array = NDArray[Any]


class Progress(Callback):
    """A bar on stderr with loss, speed and time left.

    Args:
        lang: "en" or "es"; the locale's if None.
        scale, name: factor and name of the loss as shown, such as ``1 / log 2`` and "bits" for nats. What a validation
            returns is shown as it is.
        label: a word before the bar.
        disable: show nothing.
        leave: keep the bar when the run has ended.
    """

    def __init__(
        self,
        lang: str | None = None,
        *,
        scale: float = 1.0,
        name: str = "",
        label: str = "",
        disable: bool = False,
        leave: bool = True,
    ) -> None:
        self._lang, self._scale, self._name, self._label = lang, scale, name, label
        self._disable, self._leave = disable, leave
        self._bar: Any = None
        self._smooth = math.nan
        self._validation = ""

    def start(self, trainer: Trainer, updates: int | None, seconds: float) -> None:
        """Open the bar."""
        from tqdm import tqdm

        self._smooth, self._validation = math.nan, ""
        by_time = updates is None
        self._bar = tqdm(
            total=math.ceil(seconds) if by_time else updates,
            initial=int(trainer.seconds) if by_time else trainer.update,
            desc=f"{self._label}: " if self._label else None,
            unit="",
            bar_format=say("progress.bar_time" if by_time else "progress.bar", self._lang),
            disable=self._disable,
            dynamic_ncols=True,
            mininterval=0.1 if sys.stderr.isatty() else 10.0,  # a log file wants few lines
            leave=self._leave,
        )
        self._by_time = by_time

    def updated(self, trainer: Trainer) -> None:
        """Move the bar."""
        loss = trainer.losses[-1] * self._scale
        self._smooth = loss if math.isnan(self._smooth) else 0.95 * self._smooth + 0.05 * loss
        if self._by_time:
            self._bar.update(min(int(trainer.seconds), self._bar.total) - self._bar.n)
        else:
            self._bar.update(1)
        self._show()

    def validated(self, trainer: Trainer, value: float) -> None:
        """Show the held-out figure beside the loss."""
        self._validation = f" · {say('progress.validation', self._lang)} {value:.3f}"
        self._show(refresh=sys.stderr.isatty())

    def _show(self, refresh: bool = False) -> None:
        name = self._name or say("progress.loss", self._lang)
        loss = "" if math.isnan(self._smooth) else f"{name} {self._smooth:.3f}"
        self._bar.set_postfix_str(f"{loss}{self._validation}".removeprefix(" · "), refresh=refresh)

    def end(self, trainer: Trainer) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class EarlyStopping(Callback):
    """Stop when the held-out figure has not improved for ``patience`` validations, and put the best weights back.

    Args:
        patience: validations without improvement that are borne; None never to stop, but to keep the best weights.
        reductions: how often, instead of stopping, to go back to the best weights with a quarter of the rate.
        tolerance: smallest relative improvement that counts.
    """

    def __init__(self, patience: int | None = 10, *, reductions: int = 0, tolerance: float = 1e-4) -> None:
        self.patience = None if patience is None else checks.count(patience, "patience")
        self.reductions = checks.count(reductions, "reductions", low=0)
        self.tolerance = checks.number(tolerance, "tolerance", low=0.0)
        self._taken_up = False
        self._anew()

    def _anew(self) -> None:
        self.best = math.inf
        self.best_update = 0
        #: Whether it ended the run.
        self.stopped_early = False
        self._kept: Array | None = None
        self._bad = 0
        self._reduced = 0

    def start(self, trainer: Trainer, updates: int | None, seconds: float) -> None:
        """Begin anew, with another fit or another model, unless :meth:`restore` has just taken up a run."""
        if not self._taken_up:
            self._anew()
        self._taken_up = False

    def validated(self, trainer: Trainer, value: float) -> None:
        """Keep the weights if they are the best so far; count, reduce the rate or stop if not."""
        if math.isfinite(value) and (math.isinf(self.best) or value < self.best - self.tolerance * abs(self.best)):
            self.best, self.best_update, self._bad = value, trainer.update, 0
            self._kept = trainer.model.parameters.flat.copy()
            return
        self._bad += 1
        if self.patience is None or self._bad < self.patience:
            return
        if self._reduced < self.reductions:
            self._reduced, self._bad = self._reduced + 1, 0
            trainer.learning_rate *= 0.25
            self._put_back(trainer)
        else:
            self.stopped_early = True
            trainer.stop()

    def end(self, trainer: Trainer) -> None:
        """Put the best weights back."""
        self._put_back(trainer)

    def _put_back(self, trainer: Trainer) -> None:
        if self._kept is not None:
            trainer.model.parameters.writable()[...] = self._kept

    def snapshot(self) -> tuple[dict[str, Array], Any]:
        """Return the best weights and the counts."""
        arrays = {} if self._kept is None else {"best": self._kept}
        best = None if math.isinf(self.best) else self.best
        return arrays, [best, self.best_update, self._bad, self._reduced]

    def restore(self, arrays: dict[str, Array], note: Any) -> None:
        """Take them up again."""
        best, self.best_update, self._bad, self._reduced = note
        self.best = math.inf if best is None else best
        self._kept = np.array(arrays["best"]) if "best" in arrays else None
        self._taken_up = True


class Checkpoint(Callback):
    """Write a checkpoint every ``seconds`` of wall time and when the run ends early.

    Args:
        path: the file to write, always the same one, each time whole.
        source: the source of the run, whose position is part of the checkpoint.
        seconds: time between two writings.
        extra: JSON values to keep along.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        source: Source,
        *,
        seconds: float = 60.0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        self.path, self.source, self.extra = path, source, extra or {}
        self.seconds = checks.number(seconds, "seconds", low=0.0)
        self._last = time.monotonic()

    def start(self, trainer: Trainer, updates: int | None, seconds: float) -> None:
        """Begin to count the time; refuse a path that cannot be written, before any work."""
        self._updates, self._limit = updates, seconds
        files.check_writable(self.path)
        self._last = time.monotonic()

    def updated(self, trainer: Trainer) -> None:
        """Write if it is time."""
        if time.monotonic() - self._last >= self.seconds:
            self.write(trainer)
            self._last = time.monotonic()

    def stopped(self, trainer: Trainer) -> None:
        """Write if there is more to do, so that nothing is lost."""
        unfinished = self._updates is None or trainer.update < self._updates
        if trainer.update and unfinished and trainer.whole and trainer.seconds < self._limit:
            self.write(trainer)

    def write(self, trainer: Trainer) -> None:
        """Write the checkpoint now."""
        arrays, content = trainer.snapshot(self.source)
        files.write(self.path, arrays, {"kind": "checkpoint", "training": content, "extra": self.extra})


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the content of a checkpoint: ``content["training"]`` for ``Trainer.restore``.

    Raises:
        FileFormatError: the file is damaged or no checkpoint.
    """
    from ..errors import FileFormatError

    arrays, content = files.read(path)
    if content.get("kind") != "checkpoint":
        raise FileFormatError("error.file.not_checkpoint", path=os.fspath(path))
    return arrays, content
