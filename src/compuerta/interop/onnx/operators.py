r"""ONNX's LSTM, GRU and RNN in NumPy: all that the specification says (opset 22), on compuerta's own recurrences.

Dimensions: T steps, N rows, F inputs, H units, D directions (2 if bidirectional), G blocks (i, o, f, c in an LSTM;
z, r, h in a GRU; one in an RNN). With ``layout=0`` X is (T, N, F), Y (T, D, N, H) and a state (D, N, H); with
``layout=1`` they are (N, T, F), (N, T, D, H) and (N, D, H). W is (D, G·H, F), R (D, G·H, H) and B (D, 2·G·H), the
biases of W before those of R.

Where the specification leaves a choice, or others choose otherwise:

- A row of length 0 has no last step: its Y is zero, its Y_h and Y_c are the initial state, which stands still as it
  does past the end of every row. ONNX Runtime returns zeros.
- ``clip`` bounds what goes into the gates' and the candidate's activations. The cell state goes into h as it is, in
  ONNX Runtime too.
- ``activation_alpha`` and ``activation_beta`` are handed out in order to those activations that have one, as in ONNX
  Runtime; where they run out, the default of the ONNX operator of that name holds (ONNX Runtime takes 0 for Affine,
  ScaledTanh and ThresholdedRelu). A number that nothing takes is refused.
- All is computed in the type of X: float32, float64. float16 is computed in float32 and rounded at the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import checks, recurrence
from ...activations import CELL_ACTIVATIONS, Activation
from ...errors import SettingError, ShapeError
from .. import gate_orders
from .cells import pick

Array = NDArray[Any]

#: ONNX's eleven, by their names in lower case.
_NAMES = {name.lower(): name for name in CELL_ACTIVATIONS}
_STANDARD = (Activation("Sigmoid"), Activation("Tanh"))
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


class _Call:
    """One call of an operator, checked: what goes in, batch first, and where the outputs go."""

    def __init__(
        self,
        name: str,
        order: str,
        X: ArrayLike,
        W: ArrayLike,
        R: ArrayLike,
        B: ArrayLike | None,
        sequence_lens: ArrayLike | None,
        direction: str,
        layout: int,
        clip: float | None,
        hidden_size: int | None,
    ) -> None:
        self.name, self.order = name, order
        if not isinstance(direction, str) or direction not in DIRECTIONS:
            raise SettingError("error.choice", name=f"{name}: direction", known=", ".join(DIRECTIONS),
                               got=repr(direction))  # fmt: skip
        self.directions = tuple(enumerate(DIRECTIONS[direction]))
        self.batch_first = self.flag("layout", layout)
        self.clip = None if clip is None else checks.number(clip, f"{name}: clip", low=0.0, open_low=True)
        inputs = np.asarray(X)
        self.output_dtype = inputs.dtype
        self.dtype = np.dtype(np.float64 if inputs.dtype == np.float64 else np.float32)
        x = self._array("X", inputs, "N, T, F" if self.batch_first else "T, N, F", (None, None, None))
        self.x = x if self.batch_first else x.swapaxes(0, 1)
        n, t, features = self.x.shape
        d, g = len(self.directions), len(order)
        r = self._array("R", R, f"D, {g}·H, H" if g > 1 else "D, H, H", (d, None, None))
        self.hidden = r.shape[2] if hidden_size is None else checks.size(hidden_size, name, "hidden_size")
        rows = g * self.hidden
        self.r = self._array("R", r, "D, G·H, H", (d, rows, self.hidden))
        self.w = self._array("W", W, "D, G·H, F", (d, rows, features))
        self.b = np.zeros((d, 2 * rows), self.dtype) if B is None else self._array("B", B, "D, 2·G·H", (d, 2 * rows))
        self.lengths = None if sequence_lens is None else checks.lengths(sequence_lens, name, n, t, "sequence_lens")
        self.y = np.empty((n, t, d, self.hidden), self.dtype)

    def _array(self, argument: str, value: ArrayLike, dims: str, shape: tuple[int | None, ...]) -> Array:
        """Return ``value`` in the type of computation; where ``shape`` says None, any size will do."""
        array = checks.as_array(value, self.name, argument, self.dtype)
        if array.ndim != len(shape) or any(e not in (None, k) for e, k in zip(shape, array.shape, strict=True)):
            expected = f"({dims})" + ("" if None in shape else f" = {shape}")
            raise ShapeError("error.operator.shape", name=self.name, argument=argument, expected=expected,
                             got=array.shape)  # fmt: skip
        return array

    def flag(self, argument: str, value: object) -> bool:
        """Return an attribute that is 0 or 1."""
        if not isinstance(value, Integral) or value not in (0, 1):
            raise SettingError("error.choice", name=f"{self.name}: {argument}", known="0, 1", got=repr(value))
        return bool(value)

    def peepholes(self, value: ArrayLike) -> Array:
        """Return P, (D, 3·H)."""
        return self._array("P", value, "D, 3·H", (len(self.directions), 3 * self.hidden))

    def state(self, argument: str, value: ArrayLike | None) -> Array:
        """Return one part of the initial state as (D, N, H), a copy that the final one may be written into."""
        n, d = len(self.x), len(self.directions)
        if value is None:
            return np.zeros((d, n, self.hidden), self.dtype)
        if self.batch_first:
            return self._array(argument, value, "N, D, H", (n, d, self.hidden)).swapaxes(0, 1).copy()
        return self._array(argument, value, "D, N, H", (d, n, self.hidden)).copy()

    def functions(self, default: tuple[str, ...], *attributes: Sequence[Any] | None) -> list[tuple[Activation, ...]]:
        """Return the activations of each direction, with their numbers."""
        return functions_of(self.name, default, len(self.directions), *attributes)

    def run(self, cell: recurrence.Cell, weights: Sequence[Array], d: int, reverse: bool, state: Array) -> None:
        """Run one direction of a cell from ``state`` (parts, D, N, H), which becomes the final one."""
        final = np.empty_like(state[:, d])
        cell.forward(cell.pack(*weights), self.x, state[:, d], self.lengths, reverse, False, self.y[:, :, d], final)
        state[:, d] = final

    def outputs(self) -> Array:
        """Return Y as ONNX lays it out."""
        return self._out(self.y if self.batch_first else self.y.transpose(1, 2, 0, 3))

    def final(self, state: Array) -> Array:
        """Return Y_h or Y_c as ONNX lays it out, from (D, N, H)."""
        return self._out(state.swapaxes(0, 1) if self.batch_first else state)

    def _out(self, array: Array) -> Array:
        """In the type that came."""
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(array, self.output_dtype if self.output_dtype == np.float16 else self.dtype)


def functions_of(
    op: str,
    default: tuple[str, ...],
    directions: int,
    names: Sequence[str] | None = None,
    alpha: Sequence[float] | None = None,
    beta: Sequence[float] | None = None,
) -> list[tuple[Activation, ...]]:
    """Return the activations of each direction, with their numbers, from the attributes of an operator.

    Raises:
        SettingError: they are not as many as the directions need, one is unknown, or a number is left over.
    """
    each = len(default)
    requested = list(default * directions) if names is None else [names] if isinstance(names, str) else list(names)
    if len(requested) != each * directions:
        raise SettingError("error.operator.activations", name=op, expected=each * directions, got=requested)
    numbers_of = {"alpha": deque(alpha or ()), "beta": deque(beta or ())}
    functions = []
    for name in requested:
        canonical = _NAMES.get(name.lower()) if isinstance(name, str) else None
        if canonical is None:
            raise SettingError("error.operator.activation", name=op, got=repr(name), known=", ".join(_NAMES.values()))
        plain = Activation(canonical)
        numbers = {k: v.popleft() for k, v in numbers_of.items() if v and getattr(plain, k) is not None}
        functions.append(Activation(canonical, **numbers))
    for argument, rest in numbers_of.items():
        if rest:
            raise SettingError("error.operator.left", name=op, argument=f"activation_{argument}", got=list(rest),
                               activations=", ".join(requested))  # fmt: skip
    return [tuple(functions[k * each : (k + 1) * each]) for k in range(directions)]


def lstm(
    X: ArrayLike,
    W: ArrayLike,
    R: ArrayLike,
    B: ArrayLike | None = None,
    sequence_lens: ArrayLike | None = None,
    initial_h: ArrayLike | None = None,
    initial_c: ArrayLike | None = None,
    P: ArrayLike | None = None,
    *,
    direction: str = "forward",
    layout: int = 0,
    clip: float | None = None,
    input_forget: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    hidden_size: int | None = None,
) -> tuple[Array, Array, Array]:
    r"""Compute the ONNX operator LSTM; see the module for shapes and choices.

    .. math::

        i = f(W_i x + R_i h' + p_i ⊙ c' + b_i), \quad φ = f(W_f x + R_f h' + p_f ⊙ c' + b_f), \quad
        γ = g(W_c x + R_c h' + b_c)

        c = φ ⊙ c' + i ⊙ γ, \quad o = f(W_o x + R_o h' + p_o ⊙ c + b_o), \quad h = o ⊙ h(c)

    Args:
        X, W, R, B: the inputs and the weights; B is zero if None.
        sequence_lens: (N,) ints in [0, T]: Y is zero past a row's length, Y_h and Y_c are its last ones.
        initial_h, initial_c: zeros if None.
        P: (D, 3·H), peepholes of i, o, f; none if None.
        direction: "forward", "reverse", "bidirectional".
        layout: 0 or 1.
        clip: a bound on what goes into activations; none if None.
        input_forget: 1 couples the gates: φ = 1 − i.
        activations: f, g, h by name, for each direction; Sigmoid, Tanh, Tanh if None.
        activation_alpha, activation_beta: numbers for those that have one.
        hidden_size: H, if it is to be checked.

    Returns:
        ``(Y, Y_h, Y_c)``.

    Raises:
        ShapeError, DTypeError: an input does not fit the others; the sentence names it.
        SettingError: an attribute is out of its range, or an activation unknown.

    Source: https://onnx.ai/onnx/operators/onnx__LSTM.html

    >>> X, W, R = np.ones((5, 2, 3)), np.full((1, 16, 3), 0.1), np.full((1, 16, 4), 0.1)
    >>> Y, Y_h, Y_c = lstm(X, W, R, clip=1.0, activations=["HardSigmoid", "Softsign", "Tanh"], activation_alpha=[0.25])
    >>> Y.shape, Y_h.shape, bool((Y[-1] == Y_h).all())
    ((5, 1, 2, 4), (1, 2, 4), True)
    """
    op = _Call("LSTM", gate_orders.LSTM["onnx"], X, W, R, B, sequence_lens, direction, layout, clip, hidden_size)
    state = np.stack([op.state("initial_h", initial_h), op.state("initial_c", initial_c)])
    functions = op.functions(("Sigmoid", "Tanh", "Tanh"), activations, activation_alpha, activation_beta)
    peepholes = None if P is None else op.peepholes(P)
    coupled = op.flag("input_forget", input_forget)
    for d, reverse in op.directions:
        f, g, h = functions[d]
        variant = recurrence.Variant(
            peepholes=peepholes is not None, coupled=coupled, clip=op.clip,
            gate_activation=f, input_activation=g, output_activation=h,
        )  # fmt: skip
        b_w, b_r = np.split(op.b[d], 2)
        weights = [pick(array, op.order, variant.blocks) for array in (op.w[d], op.r[d], b_w + b_r)]
        if peepholes is not None:
            weights.append(pick(peepholes[d], gate_orders.PEEPHOLES["onnx"], variant.gates))
        op.run(recurrence.lstm(variant), weights, d, reverse, state)
    return op.outputs(), op.final(state[0]), op.final(state[1])


def gru(
    X: ArrayLike,
    W: ArrayLike,
    R: ArrayLike,
    B: ArrayLike | None = None,
    sequence_lens: ArrayLike | None = None,
    initial_h: ArrayLike | None = None,
    *,
    direction: str = "forward",
    layout: int = 0,
    clip: float | None = None,
    linear_before_reset: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    hidden_size: int | None = None,
) -> tuple[Array, Array]:
    r"""Compute the ONNX operator GRU; see the module for shapes and choices.

    .. math::

        z = f(W_z x + R_z h' + b_z), \quad r = f(W_r x + R_r h' + b_r), \quad h = (1 − z) ⊙ n + z ⊙ h'

    with :math:`n = g(W_h x + R_h (r ⊙ h') + b_{Rh} + b_{Wh})`, or
    :math:`n = g(W_h x + r ⊙ (R_h h' + b_{Rh}) + b_{Wh})` if ``linear_before_reset``.

    Args:
        linear_before_reset: 1 multiplies by the reset gate after the product.
        activations: f, g by name, for each direction; Sigmoid, Tanh if None.

    The other arguments, and what is raised, as in :func:`lstm`.

    Returns:
        ``(Y, Y_h)``.

    Source: https://onnx.ai/onnx/operators/onnx__GRU.html

    >>> X, W, R = np.ones((5, 2, 3)), np.full((2, 12, 3), 0.1), np.full((2, 12, 4), 0.1)
    >>> Y, Y_h = gru(X, W, R, direction="bidirectional", sequence_lens=[5, 2])
    >>> Y.shape, bool((Y[1, 0, 1] == Y_h[0, 1]).all()), bool((Y[2:, :, 1] == 0).all())
    ((5, 2, 2, 4), True, True)
    """
    op = _Call("GRU", gate_orders.GRU["onnx"], X, W, R, B, sequence_lens, direction, layout, clip, hidden_size)
    h = op.state("initial_h", initial_h)
    functions = op.functions(("Sigmoid", "Tanh"), activations, activation_alpha, activation_beta)
    after = op.flag("linear_before_reset", linear_before_reset)
    for d, reverse in op.directions:
        w_x, w_h, b_w, b_r = (
            pick(a, op.order, gate_orders.GRU["compuerta"]) for a in (op.w[d], op.r[d], *np.split(op.b[d], 2))
        )
        b, b_hn = b_w + b_r, None
        if after:
            b[-op.hidden :], b_hn = b_w[-op.hidden :], b_r[-op.hidden :]
        weights = (w_x, w_h, b) if b_hn is None else (w_x, w_h, b, b_hn)
        plain = op.clip is None and functions[d] == _STANDARD
        equations = recurrence.GRUEquations(after, functions[d][0], functions[d][1], op.clip)
        cell = recurrence.active().gru if plain else recurrence.stepwise_cell(equations)
        op.run(cell, weights, d, reverse, h[None])
    return op.outputs(), op.final(h)


def rnn(
    X: ArrayLike,
    W: ArrayLike,
    R: ArrayLike,
    B: ArrayLike | None = None,
    sequence_lens: ArrayLike | None = None,
    initial_h: ArrayLike | None = None,
    *,
    direction: str = "forward",
    layout: int = 0,
    clip: float | None = None,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    hidden_size: int | None = None,
) -> tuple[Array, Array]:
    r"""Compute the ONNX operator RNN, :math:`h = f(W x + R h' + b)`; see the module for shapes and choices.

    Args:
        activations: f by name, for each direction; Tanh if None.

    The other arguments, and what is raised, as in :func:`lstm`.

    Returns:
        ``(Y, Y_h)``.

    Source: https://onnx.ai/onnx/operators/onnx__RNN.html

    >>> Y, Y_h = rnn(np.ones((5, 2, 3)), np.ones((1, 4, 3)), np.eye(4)[None], activations=["Relu"])
    >>> Y[:, 0, 0, 0]
    array([ 3.,  6.,  9., 12., 15.])
    """
    op = _Call("RNN", "h", X, W, R, B, sequence_lens, direction, layout, clip, hidden_size)
    h = op.state("initial_h", initial_h)
    functions = op.functions(("Tanh",), activations, activation_alpha, activation_beta)
    for d, reverse in op.directions:
        weights = op.w[d], op.r[d], op.b[d, : op.hidden] + op.b[d, op.hidden :]
        cell = recurrence.stepwise_cell(recurrence.RNNEquations(functions[d][0], op.clip))
        op.run(cell, weights, d, reverse, h[None])
    return op.outputs(), op.final(h)
