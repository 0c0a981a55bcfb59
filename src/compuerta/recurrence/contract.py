"""The contract between the layers and the engines that compute the recurrences.

An engine packs weights once, runs a batch forward, walks a tape backward and steps a stream. Layers do not depend on
what is behind it: a second engine is one more object with the methods of :class:`Engine`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from .clamps import Clamps
from .numpy_training import AdamNumbers
from .variant import Variant

Array = NDArray[Any]
Lengths = NDArray[np.intp] | None


class Tape(Protocol):
    """The record of a forward pass, in the engine's own form, for the backward pass and for traces."""

    @property
    def clamps(self) -> Clamps:
        """Which units were clamped."""

    @property
    def stepwise(self) -> bool:
        """Whether it has every number: that of a :class:`~compuerta.recurrence.Stepwise` cell, which reopens others."""

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that :meth:`read` knows, those of :mod:`compuerta.gates`."""

    def read(self, key: str) -> Array:
        """Return one of them as (N, T, H), zeros past each row's length, in an array of its own.

        Some tapes also have ``z_`` before a block's name, what its activation saw. KeyError: there is none such.
        """


class Cell(Protocol):
    """What an engine offers for one kind of cell.

    Shapes, with N rows, T steps, F inputs, H units, G blocks (4 in an LSTM, 3 in a GRU):

    - ``parameters``: ``w_x`` (G·H, F), ``w_h`` (G·H, H), ``b`` (G·H,), blocks in the public order; and ``b_hn``
      (H,) in a GRU that resets after the product.
    - ``x``: (N, T, F), or (N, T) token ids, of which the columns of ``w_x`` are gathered.
    - ``state``, ``final`` and their gradients: (parts, N, H), the parts h, c or h, each of them C-contiguous.
    - ``lengths``: (N,) ints in [0, T] or None. Past its length a row's output is zero, its state is unchanged and
      its inputs are not read.
    - ``reverse``: each row is read from its last valid step to its first; outputs are aligned with their inputs.

    All arrays have the dtype of the weights (float32, float64; the NumPy engine takes complex128 too, for complex-step
    derivatives). Inputs are never written to. N and T may be 0. No NaN or infinity raises or warns.
    """

    def pack(self, *parameters: Array) -> Any:
        """Return the weights in this engine's layout, valid until the parameters change."""

    def forward(
        self,
        weights: Any,
        x: Array,
        state: Array,
        lengths: Lengths,
        reverse: bool,
        record: bool,
        y: Array,
        final: Array,
    ) -> Tape | None:
        """Write the outputs into ``y`` (N, T, H), of any strides with a contiguous last axis, and the final state into
        ``final``; return the tape if ``record``."""

    def plain_call(self, weights: Any) -> Callable[[Array], Any] | None:
        """Return a quick way for the commonest run: ``x`` (N, T, F) in one piece, from zeros, without padding or tape,
        to ``(y, state)`` with the parts of the state (1, N, H); or None where there is none."""

    def backward(
        self, weights: Any, tape: Tape, dy: Array, dfinal: Array, out: tuple[Array, ...], dstate: Array
    ) -> Array | None:
        """Write the gradients of the parameters into ``out``, that of the initial state into ``dstate``, and return
        that of ``x`` (None for token ids)."""

    def stepper(self, weights: list[Any], states: list[tuple[Array, ...]], x: Array) -> Callable[[], object]:
        """Return a function that takes a stack of layers one step on, from what then stands in ``x`` (N, F) or (N,);
        it changes the ``states`` in place, and allocates nothing."""


class Engine(Protocol):
    """A name, one :class:`Cell` for each kind, and the other operations of training."""

    name: str
    lstm: Cell
    gru: Cell

    def lstm_variant(self, variant: Variant) -> Cell:
        """Return the LSTM with these switches: the same object each time, so that weights packed for it are known
        again."""

    def dense(self, x: Array, w: Array, b: Array | None) -> Array:
        """Return x Wᵀ + b, of ``x`` (R, K), ``w`` (V, K) and ``b`` (V,)."""

    def dense_back(self, x: Array, w: Array, dy: Array, dw: Array, db: Array | None) -> Array:
        """Return dx = dy W, and write dw = dyᵀ x and db = Σ dy."""

    def sum_of_squares(self, array: Array) -> float:
        """Return Σ a² of a flat array, in double where single would overflow."""

    def cross_entropy(self, logits: Array, targets: Array, keep: Array | None, scale: float) -> tuple[float, Array]:
        """Return Σ −log softmax(z)[target] over the rows of ``logits`` (R, V), and (softmax − one-hot) · ``scale``.

        ``targets`` are ints (R,) in [0, V). Rows where ``keep`` (R,) is False add nothing.
        """

    def dense_cross_entropy(
        self,
        x: Array,
        w: Array,
        b: Array | None,
        targets: Array,
        keep: Array | None,
        scale: float,
        dw: Array,
        db: Array | None,
    ) -> tuple[float, Array]:
        """Return the loss of :meth:`cross_entropy` of the logits x Wᵀ + b, and dx; write dw and db.

        The same as the three methods one after another; an engine may do without ever having all logits.
        """

    def all_finite(self, array: Array) -> bool:
        """Return whether a flat array holds neither NaN nor infinity."""

    def adam(
        self,
        parameters: Array,
        gradient: Array,
        m: Array,
        v: Array,
        **numbers: Unpack[AdamNumbers],
    ) -> None:
        """Take one step of Adam in place over flat arrays; the gradient may be used as scratch space.

        m ← β1 m + (1 − β1) g, v ← β2 v + (1 − β2) g², p ← p − rate · m / (root · √v + ε); before that p shrinks by
        ``decay_parameters`` of itself and g gains ``decay_gradient`` · p.
        """
