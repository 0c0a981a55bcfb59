"""What every layer is: parameters, a forward pass that can record, and an exact backward pass over the record."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import SettingError
from ..recurrence import Clamps
from .parameters import Parameters

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    #: What a layer's state is to a caller: an array, a tuple of them, or None without one.
    StateT = TypeVar("StateT", default=Any)  # typing's own has defaults from Python 3.13 on
else:
    from typing import TypeVar

    StateT = TypeVar("StateT")

Array = NDArray[Any]
#: The valid steps of each row, (N,); None where all are.
Lengths: TypeAlias = NDArray[np.intp] | None
#: For each recurrent layer, by its id, the clamps at each place ``layer * directions + direction`` of its stack.
LayerClamps = dict[int, list[Clamps]]


class Blank:
    """Passed as ``rng``, leaves the weights at zero, for a layer whose weights will be read from a file."""


@dataclass(frozen=True, eq=False)
class Gradients(Generic[StateT]):
    """What :meth:`Layer.backward` returns.

    ``gradients["w_x_l0"]`` is the gradient of that parameter.

    Attributes:
        flat: all of them in one buffer, laid out as ``layer.parameters``.
        parameters: named views into it.
        x: gradient of the inputs, shaped as they came; None for token ids.
        state: gradient of the initial state, shaped as the state; None for layers without one.
    """

    flat: Array
    parameters: Mapping[str, Array]
    x: Array | Any  # Any so that who has no token ids need not ask whether it is None
    state: StateT

    def __getitem__(self, name: str) -> Array:
        return self.parameters[name]


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """A tape, with the output's shape, whether the input was a single sequence, and the version of the parameters that
    it was recorded with."""

    layer: Layer
    tape: Any
    shape: tuple[int, ...]
    single: bool
    version: int


def _leaves(state: Any) -> list[Array]:
    """The arrays of a state, however it is nested."""
    if state is None or isinstance(state, np.ndarray):
        return [] if state is None else [state]
    return [array for part in state for array in _leaves(part)]


class Layer(ABC, Generic[StateT]):
    """Base of the layers. Data is batch first: N rows, T steps, F features; one sequence may come without N.

    **To use a layer** call it, or :meth:`forward` and :meth:`backward`: they convert and check what comes in.

    **To write one** give it ``parameters`` and four methods: :meth:`config`, :meth:`check_inputs`, :meth:`run` and
    :meth:`back`. The last two see checked batches only, and models call them straight, one layer after another. A layer
    with a state sets ``recurrent`` and gives :meth:`check_state`; one whose units can be clamped gives
    :meth:`check_clamp`. ``width_in`` and ``width_out`` let a :class:`~compuerta.layers.Sequential` see whether its
    layers fit. ``Layer[None]`` tells a type checker that calls return ``y`` alone, ``Layer[Array]`` or a tuple what the
    state is.

    >>> import numpy as np
    >>> from compuerta import LSTM, Dense, Sequential, checks
    >>> from compuerta.layers import Layer, Parameters
    >>> class Scale(Layer[None]):
    ...     "Multiply each feature by a factor of its own."
    ...
    ...     def __init__(self, size, *, dtype="float32"):
    ...         self.dtype = np.dtype(dtype)
    ...         self.width_in = self.width_out = size
    ...         self.parameters = Parameters({"factor": (size,)}, self.dtype)
    ...         self.parameters["factor"] = np.ones(size)
    ...
    ...     def config(self):
    ...         return {"size": self.width_in, "dtype": self.dtype.name}
    ...
    ...     def check_inputs(self, x):
    ...         return checks.sequences(x, self.name, self.width_in, self.dtype)
    ...
    ...     def run(self, x, state, lengths, record, rng, clamps=None):
    ...         return x * self.parameters["factor"], None, x if record else None
    ...
    ...     def back(self, tape, dy, dstate, out):
    ...         out[...] = (dy * tape).sum(axis=(0, 1))
    ...         return dy * self.parameters["factor"], None
    >>> model = Sequential(LSTM(2, 3, rng=0), Scale(3), Dense(3, 1, rng=1))
    >>> y, state, tape = model.forward(np.ones((4, 5, 2)), record=True)
    >>> model.backward(tape, np.ones_like(y))["1.factor"].shape
    (3,)
    """

    parameters: Parameters
    #: Whether ``run`` takes and returns a state.
    recurrent = False
    #: Features in and out; None where the layer hands its inputs' width through.
    width_in: int | None = None
    width_out: int | None = None
    #: Whether the inputs are token ids in place of features.
    reads_tokens = False

    @property
    def name(self) -> str:
        """The name of the layer's class, as messages and summaries print it."""
        return type(self).__name__

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer again, as plain JSON values."""

    # ---- what a subclass gives, and models call -------------------------------------------------------------------

    @abstractmethod
    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        """Return ``x`` as a batch of the layer's dtype, (N, T, F) or ids (N, T), and whether it came as one sequence.

        Functions of :mod:`compuerta.checks` do it, and refuse what does not fit.
        """

    @abstractmethod
    def run(
        self,
        x: Array,
        state: Any,
        lengths: Lengths,
        record: bool,
        rng: np.random.Generator | None,
        clamps: LayerClamps | None = None,
    ) -> tuple[Array, Any, Any]:
        """Return ``(y, state, tape)``: outputs (N, T, ...), the final state, and what :meth:`back` needs.

        Args:
            x: as :meth:`check_inputs` returned it. Not to be written to; ``y`` may be the same array.
            state: as :meth:`check_state` returned it.
            lengths: (N,) ints in [0, T]; None where no row is padded.
            record: whether a tape is wanted; without it None is returned in its place.
            rng: what dropout draws from; None outside of training.
            clamps: as :meth:`check_clamp` returned it; a layer without units of its own hands it on or ignores it.
        """

    @abstractmethod
    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[Array | None, Any]:
        """Return ``(dx, dstate)``, the gradients of what :meth:`run` was given, and write the parameters' into ``out``.

        Args:
            tape: of :meth:`run`; it stays as it is, for it may be walked again.
            dy: gradient of ``y``, of its shape. dstate: of the final state, as :meth:`check_state` returned it.
            out: flat, laid out as the parameters (``parameters.named(out)`` are views of it), to be overwritten.
        """

    def run_plainly(self, x: Any) -> Any:
        """Return what the layer returns for ``x`` alone if there is a quicker way than :meth:`forward`, else None."""
        return None

    def check_state(self, state: Any, n: int) -> Any:
        """Return a state of ``n`` rows, or a gradient of one, as :meth:`run` and :meth:`back` take it; None is zeros.

        Raises:
            ShapeError: its shapes are not those of this layer's state.
            SettingError: a state was passed, but the layer has none.
        """
        if state is not None:
            raise SettingError("error.no_state", name=self.name)
        return None

    def check_clamp(self, clamp: Mapping[Any, float]) -> LayerClamps:
        """Return what is clamped, by the id of the recurrent layer, as :meth:`run` takes it.

        Raises:
            SettingError: ``clamp`` names what is not there.
        """
        raise SettingError("error.clamp_nothing", name=self.name)

    def leaves(self, state: Any) -> Iterator[tuple[Layer, Any]]:
        """Yield the layers that run one after another in this one, each with its part of a checked ``state``; else
        itself."""
        yield self, state

    # ---- what all have --------------------------------------------------------------------------------------------

    @overload
    def forward(
        self,
        x: ArrayLike,
        state: Any = None,
        lengths: ArrayLike | None = None,
        *,
        record: Literal[True],
        rng: np.random.Generator | int | None = None,
        check_finite: bool = False,
        clamp: Mapping[Any, float] | None = None,
    ) -> tuple[Array, StateT, Record]: ...

    @overload
    def forward(
        self,
        x: ArrayLike,
        state: Any = None,
        lengths: ArrayLike | None = None,
        *,
        record: bool = False,
        rng: np.random.Generator | int | None = None,
        check_finite: bool = False,
        clamp: Mapping[Any, float] | None = None,
    ) -> tuple[Array, StateT, Record | None]: ...

    def forward(
        self,
        x: ArrayLike,
        state: Any = None,
        lengths: ArrayLike | None = None,
        *,
        record: bool = False,
        rng: np.random.Generator | int | None = None,
        check_finite: bool = False,
        clamp: Mapping[Any, float] | None = None,
    ) -> tuple[Array, StateT, Record | None]:
        """Run the layer over a batch.

        Args:
            x: (N, T, F) or (T, F); token ids (N, T) or (T,) where the layer reads those. Integers and float16 are
                converted to the layer's dtype; float64 is rounded to it.
            state: the initial state, zeros if None; layers without state take None.
            lengths: (N,) ints in [0, T] for padded batches. Past its length a recurrent layer's output is zero and its
                state no longer changes; with length 0 the initial state is returned.
            record: keep a tape for :meth:`backward`.
            rng: a Generator or seed for dropout in training; None switches dropout off.
            check_finite: raise on NaN or infinity in ``x`` instead of letting it run through its own row.
            clamp: units clamped to a value at every step, ``{("f", 0, 12): 0.0}`` for the forget gate of unit 12
                in the first stacked layer, ``(name, layer, direction, unit)`` in the second direction; names as in a
                :class:`~compuerta.layers.trace.Trace`. The NumPy engine computes such a run.

        Returns:
            ``(y, state, tape)``: the outputs, (N, T, ...) or (T, ...) as ``x`` came; the final state; the tape, or
            None.

        Raises:
            ShapeError, DTypeError: an argument does not fit; the message gives both shapes.
            NonFiniteError: with ``check_finite``.
            SettingError: ``clamp`` names what is not there.
        """
        batch, single = self.check_inputs(x)
        n = batch.shape[0]
        valid = checks.lengths(lengths, self.name, n, batch.shape[1]) if lengths is not None else None
        if check_finite and batch.dtype.kind == "f":
            padding = 0 if valid is None else (np.arange(batch.shape[1]) >= valid[:, None])[:, :, None]
            checks.finite(np.where(padding, 0, batch), self.name, "inputs")
        if rng is not None:
            rng = checks.generator(rng, self.name)
        if record and isinstance(x, np.ndarray) and np.may_share_memory(batch, x):
            batch = batch.copy()  # the tape must not change when the caller reuses x
        clamps = self.check_clamp(clamp) if clamp else None
        y, state, tape = self.run(batch, self.check_state(state, n), valid, record, rng, clamps)
        if y is batch or (y.base is not None and np.may_share_memory(y, batch)):
            y = y.copy()
        result = Record(self, tape, y.shape, single, self.parameters.version) if record else None
        return (y[0] if single else y), state, result

    @overload
    def __call__(self: Layer[None], x: ArrayLike, state: None = None, lengths: ArrayLike | None = None) -> Array: ...

    @overload
    def __call__(self, x: ArrayLike, state: Any = None, lengths: ArrayLike | None = None) -> tuple[Array, StateT]: ...

    def __call__(self, x: ArrayLike, state: Any = None, lengths: ArrayLike | None = None) -> Any:
        """Run the layer: ``y, state`` for layers with a state, ``y`` alone for the others. See :meth:`forward`."""
        if state is None and lengths is None and (result := self.run_plainly(x)) is not None:
            return result
        y, state, _ = self.forward(x, state, lengths)
        return (y, state) if self.recurrent else y

    def backward(
        self, tape: Record, dy: ArrayLike, dstate: Any = None, *, out: Array | None = None
    ) -> Gradients[StateT]:
        """Walk a recorded forward pass in reverse.

        Args:
            tape: what :meth:`forward` returned with ``record=True``; it may be walked more than once.
            dy: gradient of the loss with respect to ``y``, of its shape.
            dstate: gradient with respect to the final state, of its shape; zeros if None.
            out: a flat array of ``parameters.size`` to write the gradients into; a new one if None.

        Raises:
            ShapeError: a gradient has not the shape of what it belongs to.
            SettingError: the tape is not one of this layer's, or the parameters have changed since it was recorded.
        """
        if not isinstance(tape, Record) or tape.layer is not self:
            raise SettingError("error.tape", name=self.name)
        if tape.version != self.parameters.version:
            raise SettingError("error.tape_stale", name=self.name)
        shape = tape.shape[1:] if tape.single else tape.shape
        array = checks.gradient(dy, self.name, "dy", shape, self.parameters.dtype)
        if tape.single:
            array = array[None]
        if out is None:
            out = np.empty(self.parameters.size, self.parameters.dtype)
        d_final = self.check_state(dstate, tape.shape[0])
        read = (array, *_leaves(d_final), self.parameters.flat)
        checks.output(out, self.name, (self.parameters.size,), self.parameters.dtype, *read)
        dx, dinitial = self.back(tape.tape, array, d_final, out)
        if dx is not None and tape.single:
            dx = dx[0]
        return Gradients(out, self.parameters.named(out), dx, dinitial)

    def constructor_call(self, *, leave_out: tuple[str, ...] = ()) -> str:
        """Return the layer as one would write it: the first argument and those without a default bare, others only
        where they differ from it.

        >>> from compuerta import LSTM
        >>> LSTM(8, 16, 2, coupled=True, rng=0).constructor_call()
        'LSTM(8, 16, num_layers=2, coupled=True)'
        """
        config, arguments = self.config(), []
        for k, (name, parameter) in enumerate(inspect.signature(type(self)).parameters.items()):
            if name in config and name not in leave_out:
                if parameter.default is parameter.empty or (k == 0 and parameter.kind != parameter.KEYWORD_ONLY):
                    arguments.append(repr(config[name]))
                elif config[name] != parameter.default:
                    arguments.append(f"{name}={config[name]!r}")
        return f"{self.name}({', '.join(arguments)})"

    def __repr__(self) -> str:
        return self.constructor_call()
