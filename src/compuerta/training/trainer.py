"""The training loop: batch, forward, loss, backward, clip, update; and what a person expects around it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .. import checks, recurrence
from ..errors import DivergedError, Phrase, SettingError
from ..layers import Dense, Layer, Sequential
from .batches import Batch, Source
from .diagnose import where_not_finite
from .losses import Loss, cross_entropy, dense_cross_entropy
from .optimizers import Adam, Optimizer, clip_by_global_norm
from .schedules import Constant, Schedule

Array = NDArray[Any]
#: How many updates a schedule is given before it is known how many there is time for.
_UNKNOWN = 10**9


class Trainer:
    """Train a model on a source of batches.

    One Generator drives everything that is random in training, so that the same seed gives the same bits on the same
    machine and number of threads.

    Args:
        model: any layer; usually a :class:`~compuerta.layers.Sequential`.
        loss: one of :mod:`compuerta.training.losses`, or any function ``(predictions, targets) -> (value, gradient)``;
            with the arguments ``mask`` and ``weights`` where batches have them. Of padded rows with a target for each
            step only the valid steps count.
        optimizer: :class:`Adam` if None.
        learning_rate: step size, > 0.
        schedule: factor on the rate for each update; constant if None.
        clip: largest global norm of the gradient, > 0; None for no clipping.
        rng: a seed or Generator for shuffling and dropout.
        callbacks: told of every update and validation.

    Raises:
        SettingError: ``learning_rate`` or ``clip`` is out of its range.

    >>> import numpy as np
    >>> from compuerta import LSTM, Dense, Last, Sequential, Trainer
    >>> from compuerta.training import Shuffled, squared_error
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(64, 10, 1)).astype(np.float32)
    >>> model = Sequential(LSTM(1, 8, rng=rng), Last(), Dense(8, 1, rng=rng))
    >>> trainer = Trainer(model, squared_error, learning_rate=0.01, clip=1.0, rng=rng)
    >>> losses = trainer.fit(Shuffled(x, x[:, -1:]), updates=200)
    >>> bool(losses[-1] < 0.1 * losses[0])
    True
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer | None = None,
        *,
        learning_rate: float = 1e-3,
        schedule: Schedule | None = None,
        clip: float | None = None,
        rng: np.random.Generator | int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.model, self.loss = model, loss
        self.optimizer = optimizer if optimizer is not None else Adam()
        self.learning_rate = checks.number(learning_rate, "learning_rate", low=0.0, open_low=True)
        self._asked_rate = self.learning_rate
        self.schedule = schedule if schedule is not None else Constant()
        self.clip = None if clip is None else checks.number(clip, "clip", low=0.0, open_low=True)
        self.rng = checks.generator(rng, "Trainer")
        self.callbacks = list(callbacks)
        self.gradient = np.empty(model.parameters.size, model.parameters.dtype)
        self._before = np.empty_like(self.gradient)
        #: Updates done, and the loss of each.
        self.update = 0
        self.losses: list[float] = []
        #: ``(update, value)`` of each validation.
        self.validations: list[tuple[int, float]] = []
        self.gradient_norm = math.nan
        self.seconds = 0.0
        #: False while an update is under way, and for good if something broke it off.
        self.whole = True
        self._state: Any = None
        self._stop = False
        #: The schedule, and how many updates it spanned at the last of them.
        self._plan: tuple[Schedule, int] | None = None

    def fit(
        self,
        source: Source,
        updates: int | None = None,
        *,
        minutes: float | None = None,
        validate: Callable[[], float] | None = None,
        every: int = 100,
    ) -> list[float]:
        """Train until ``updates`` have been done in all, the time is up, or a callback says so.

        Ctrl-C is heard between updates: parameters and optimizer are then whole, and ``KeyboardInterrupt`` is raised.

        Args:
            source: where the batches come from.
            updates: how many updates there will have been at the end, those before a resume included.
            minutes: how long to train at most. A schedule then goes by the share of the time that has passed, where
                that is more than the share of the updates.
            validate: returns a figure to watch (lower is better), called before the first update, every ``every``
                updates and at the end.
            every: see ``validate``.

        Returns:
            The loss of every update so far.

        Raises:
            SettingError: neither ``updates`` nor ``minutes`` is given, or one is out of range.
            DivergedError: the loss or its gradient is no longer finite; the message says where it began, and the
                parameters are those before that update.
            SettingError: a schedule that spans the whole run was laid out for another end by an earlier call.
        """
        if updates is None and minutes is None:
            raise SettingError("error.no_end")
        total = None if updates is None else checks.count(updates, "updates", low=0)
        limit = math.inf if minutes is None else 60 * checks.number(minutes, "minutes", low=0.0, open_low=True)
        checks.count(every, "every")
        self._check_schedule(total, limit)
        self._stop = False
        before, started = self.seconds, time.perf_counter()
        with _interruptible() as interrupted:
            try:
                for callback in self.callbacks:
                    callback.start(self, total, limit)
                if validate is not None and self.update == 0:
                    self._validate(validate)
                body, head = _parts(self.model, self.loss)  # not kept: copied with the model it would be another
                while not self._stop and (total is None or self.update < total) and self.seconds < limit:
                    self.whole = False
                    self._step(source.next(self.rng), self._expected(total, limit), body, head)
                    self.whole = True
                    self.seconds = before + time.perf_counter() - started
                    if validate is not None and self.update % every == 0:
                        self._validate(validate)
                    for callback in self.callbacks:
                        callback.updated(self)
                    if interrupted():
                        raise KeyboardInterrupt
                if validate is not None and (not self.validations or self.validations[-1][0] != self.update):
                    self._validate(validate)
            finally:
                for callback in self.callbacks:
                    callback.stopped(self)
                for callback in self.callbacks:
                    callback.end(self)
        return self.losses

    def stop(self) -> None:
        """Ask the loop to end after this update."""
        self._stop = True

    @property
    def rate(self) -> float:
        """The learning rate of the last update."""
        return self._rate if self.update else self.learning_rate

    def _check_schedule(self, total: int | None, limit: float) -> None:
        """Refuse to go on with a schedule that was laid out for another end, where the rate would jump."""
        if self._plan is None or self._plan[0] != self.schedule or (total is not None and total <= self.update):
            return
        before, after = (self.schedule(self.update, end) for end in (self._plan[1], self._expected(total, limit)))
        if abs(after - before) > 0.02:
            raise SettingError("error.schedule_jumps", before=f"{self.learning_rate * before:.3g}",
                               after=f"{self.learning_rate * after:.3g}")  # fmt: skip

    def _expected(self, total: int | None, limit: float) -> int:
        """Return how many updates there will have been at the end, by the time that they took so far."""
        by_time = math.inf if not self.seconds else self.update * limit / self.seconds
        expected = min(math.inf if total is None else total, by_time)
        return max(self.update + 1, round(expected)) if math.isfinite(expected) else _UNKNOWN

    def _step(self, batch: Batch, expected: int, body: Layer, head: Dense | None) -> None:
        """One update: forward, loss, backward, clip, step; ``expected`` updates are what the schedule spans."""
        model = self.model
        state = _carried(self._state, batch.carry)
        if batch.weights is not None:  # the output layer and its loss at once take none
            body, head = model, None
        value, final = self._learn(batch, state, body, head)
        if not math.isfinite(value):
            self._diverged(batch, state, value, None)
        self.gradient_norm = clip_by_global_norm(self.gradient, self.clip)
        if not math.isfinite(self.gradient_norm):
            self._diverged(batch, state, value, self.gradient)
        self._plan = self.schedule, expected
        self._rate = self.learning_rate * self.schedule(self.update, expected)
        np.copyto(self._before, model.parameters.flat)
        with np.errstate(all="ignore"):
            self.optimizer.step(model.parameters.writable(), self.gradient, self._rate)
        for name, array in (("parameters", model.parameters.flat), *self.optimizer.arrays.items()):
            if not recurrence.active().all_finite(array):
                model.parameters.writable()[...] = self._before
                self._raise(value, Phrase("diverged.step", name=name))
        self._state = final
        self.update += 1
        self.losses.append(value)

    def _learn(self, batch: Batch, state: Any, body: Layer, head: Dense | None) -> tuple[float, Any]:
        """Write the gradient of the loss; return the loss and the final state."""
        y, final, tape = body.forward(batch.x, state, batch.lengths, record=True, rng=self.rng)
        assert tape is not None
        cut = body.parameters.size
        mask = batch.counted(y.ndim)
        if head is None:
            value, dy = self.loss(y, batch.y, **_given(self.loss, mask=mask, weights=batch.weights))
        else:
            value, dy = dense_cross_entropy(head, y, batch.y, self.gradient[cut:], mask)
        body.backward(tape, dy, out=self.gradient[:cut])
        return value, final

    def _validate(self, validate: Callable[[], float]) -> None:
        value = float(validate())
        self.validations.append((self.update, value))
        for callback in self.callbacks:
            callback.validated(self, value)

    def _diverged(self, batch: Batch, state: Any, value: float, gradient: Array | None) -> None:
        self._raise(value, where_not_finite(self.model, batch.x, state, batch.lengths, gradient))

    def _raise(self, value: float, place: Phrase) -> NoReturn:
        raise DivergedError("error.diverged", update=self.update + 1, loss=f"{value:g}", where=place)

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def snapshot(self, source: Source) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return everything that the next update depends on, as arrays and JSON values that stay as they are."""
        arrays = {"parameters": self.model.parameters.flat.copy()}
        arrays.update({f"optimizer.{name}": array.copy() for name, array in self.optimizer.arrays.items()})
        arrays["losses"] = np.array(self.losses, np.float64)
        leaves: list[Array] = []
        tree = _flatten(self._state, leaves)
        arrays.update({f"state.{k}": leaf.copy() for k, leaf in enumerate(leaves)})
        notes = []
        for k, callback in enumerate(self._remembering()):
            kept, note = callback.snapshot()
            arrays.update({f"callback.{k}.{name}": array.copy() for name, array in kept.items()})
            notes.append(note)
        content = {
            "setup": self._setup(),
            "update": self.update,
            "validations": list(self.validations),
            "seconds": self.seconds,
            "learning_rate": self.learning_rate,
            "optimizer_updates": self.optimizer.updates,
            "state": tree,
            "rng": _listed(self.rng.bit_generator.state),
            "position": source.position(),
            "spans": None if self._plan is None else self._plan[1],
            "callbacks": notes,
        }
        return arrays, content

    def restore(self, arrays: dict[str, Array], content: dict[str, Any], source: Source) -> None:
        """Take up a run where :meth:`snapshot` left it; it then goes on to the same bits.

        Raises:
            SettingError: the model, the optimizer, the loss, the learning rate or the callbacks that keep something
                for later are not those of the snapshot; the differences are listed.
        """
        mine, theirs = self._setup(), content["setup"]
        different = [key for key in mine if key in theirs and mine[key] != theirs[key]]
        if different:
            listed = "; ".join(f"{key}: {theirs.get(key)} ≠ {mine[key]}" for key in different)
            raise SettingError("error.resume_differs", differences=listed)
        self.model.parameters.writable()[...] = arrays["parameters"]
        prefix = "optimizer."
        self.optimizer.arrays = {k[len(prefix) :]: a.copy() for k, a in arrays.items() if k.startswith(prefix)}
        self.optimizer.updates = content["optimizer_updates"]
        self.update, self.seconds = content["update"], content["seconds"]
        self.losses = arrays["losses"].tolist()
        self.validations = [(int(k), float(v)) for k, v in content["validations"]]
        self.learning_rate = content["learning_rate"]
        self._rate = self.learning_rate
        spans = content.get("spans")
        self._plan = None if spans is None else (self.schedule, spans)
        self._state = _unflatten(content["state"], arrays)
        self.rng.bit_generator.state = _unlisted(content["rng"], self.rng.bit_generator.state)
        source.seek(content["position"])
        kept = content["callbacks"] if "callbacks" in theirs else []  # an earlier version did not say whose they were
        for k, (callback, note) in enumerate(zip(self._remembering(), kept, strict=False)):
            prefix = f"callback.{k}."
            callback.restore({n[len(prefix) :]: a for n, a in arrays.items() if n.startswith(prefix)}, note)

    def _setup(self) -> dict[str, Any]:
        return {
            "model": self.model.config(),
            "optimizer": [type(self.optimizer).__name__, self.optimizer.config()],
            "loss": _named(self.loss),
            "clip": self.clip,
            "schedule": repr(self.schedule),
            "rng": self.rng.bit_generator.state["bit_generator"],
            "learning_rate": self._asked_rate,
            "callbacks": [type(callback).__name__ for callback in self._remembering()],
        }

    def _remembering(self) -> list[Callback]:
        """Return the callbacks whose state is part of a snapshot; the others may come and go."""
        return [callback for callback in self.callbacks if type(callback).snapshot is not Callback.snapshot]


class Callback:
    """Base of the callbacks; every method may be left as it is."""

    def start(self, trainer: Trainer, updates: int | None, seconds: float) -> None:
        """The run begins; it will end after ``updates`` in all or ``seconds`` of training (infinite if not set)."""

    def updated(self, trainer: Trainer) -> None:
        """An update was done."""

    def validated(self, trainer: Trainer, value: float) -> None:
        """A validation was done, with this figure."""

    def stopped(self, trainer: Trainer) -> None:
        """The run ended, in whatever way; the weights are still those of the last update."""

    def end(self, trainer: Trainer) -> None:
        """After every callback's ``stopped``: the weights may be changed now."""

    def snapshot(self) -> tuple[dict[str, Array], Any]:
        """Return what a resumed run needs, as arrays and one JSON value."""
        return {}, None

    def restore(self, arrays: dict[str, Array], note: Any) -> None:
        """Take up what :meth:`snapshot` returned."""


def _parts(model: Layer, loss: Loss) -> tuple[Layer, Dense | None]:
    """Return the layers to run, and the last one where it is computed together with the loss.

    A subclass may compute something else, so it runs by its own methods.
    """
    if loss is cross_entropy and type(model) is Sequential and len(model.layers) > 1:
        last = model.layers[-1]
        if type(last) is Dense:
            return model.below(), last
    return model, None


def _carried(state: Any, carry: bool | NDArray[np.bool_]) -> Any:
    """Return the state (L·D, N, H) of the rows that go on, zeros for the others; None if none does."""
    if isinstance(carry, bool):
        return state if carry else None
    if isinstance(state, tuple):
        return tuple(_carried(part, carry) for part in state)
    return None if state is None else np.where(carry[:, None], state, state.dtype.type(0))


def _flatten(state: Any, leaves: list[Array]) -> Any:
    if state is None:
        return None
    if isinstance(state, tuple):
        return [_flatten(part, leaves) for part in state]
    leaves.append(state)
    return len(leaves) - 1


def _unflatten(tree: Any, arrays: dict[str, Array]) -> Any:
    if tree is None:
        return None
    if isinstance(tree, list):
        return tuple(_unflatten(part, arrays) for part in tree)
    return arrays[f"state.{tree}"].copy()


def _given(loss: Loss, **arguments: Any) -> dict[str, Any]:
    """Return what a batch has for the loss besides targets.

    Raises:
        SettingError: the loss does not take it.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if given:
        taken = inspect.signature(loss).parameters
        for name in given:
            if name not in taken and not any(p.kind == p.VAR_KEYWORD for p in taken.values()):
                raise SettingError("error.loss_takes_no", loss=_named(loss), what=name)
    return given


def _named(function: Any) -> str:
    """Name a function without its address, which is another one in each process."""
    if isinstance(function, functools.partial):
        return f"{_named(function.func)}{function.args}{function.keywords}"
    return getattr(function, "__qualname__", type(function).__qualname__)


def _listed(state: Any) -> Any:
    """Return a bit generator's state with lists in place of arrays."""
    if isinstance(state, dict):
        return {key: _listed(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state


def _unlisted(state: Any, like: Any) -> Any:
    """Undo :func:`_listed`, with the dtypes of the state ``like``."""
    if isinstance(like, dict):
        return {key: _unlisted(state[key], value) for key, value in like.items()}
    return np.array(state, like.dtype) if isinstance(like, np.ndarray) else state


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C back until the update is done; a second one interrupts at once."""
    pressed = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous if previous is not None else signal.SIG_DFL)
