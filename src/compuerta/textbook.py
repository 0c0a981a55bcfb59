r"""The LSTM of the textbooks: one example, column vectors, one gate after another, forward and backward.

Read this file to understand an LSTM; it needs NumPy and nothing else of this project, and everything faster is tested
against it. With ``[h; x]`` the previous output stacked on the input, one step is

.. math::

    f_t &= σ(W_f [h_{t-1}; x_t] + b_f)          && \text{forget gate: how much of the memory to keep}

    i_t &= σ(W_i [h_{t-1}; x_t] + b_i)          && \text{input gate: how much of the candidate to write}

    \tilde C_t &= \tanh(W_C [h_{t-1}; x_t] + b_C) && \text{candidate: what could be written}

    C_t &= f_t ⊙ C_{t-1} + i_t ⊙ \tilde C_t     && \text{cell state: the memory}

    o_t &= σ(W_o [h_{t-1}; x_t] + b_o)          && \text{output gate: how much of the memory to show}

    h_t &= o_t ⊙ \tanh(C_t)                     && \text{hidden state: what the cell shows}

Shapes: I inputs, H hidden units, T steps. ``x`` is (I, 1); ``h``, ``C`` and every gate are (H, 1); the weights
``Wf, Wi, WC, Wo`` are (H, H + I), the biases ``bf, bi, bC, bo`` (H, 1).

Sources: Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000 for the forget gate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCKS", "LSTM", "sigmoid", "tanh"]


def __dir__() -> list[str]:
    return sorted(__all__)


Array = NDArray[Any]

#: The four blocks in the order of the equations; the candidate is C, as in Wf, Wi, WC, Wo.
BLOCKS = ("f", "i", "C", "o")


def sigmoid(z: Array) -> Array:
    """Return σ(z) = 1/(1 + e^(−z)) without ever computing the exponential of a large number."""
    positive = np.real(z) >= 0
    e = np.exp(np.where(positive, -z, z))
    result: Array = np.where(positive, 1.0, e) / (1.0 + e)
    return result


def tanh(z: Array) -> Array:
    """Return the hyperbolic tangent of z."""
    result: Array = np.tanh(z)
    return result


def _column(a: Any, n: int, name: str) -> Array:
    """Return ``a`` as an array, which must be a column (n, 1): anything else would broadcast to nonsense."""
    column: Array = np.asarray(a)
    if column.shape != (n, 1):
        raise ValueError(f"{name}: expected a column ({n}, 1); got {column.shape}; use reshape(-1, 1).")
    return column


class LSTM:
    """One LSTM cell and its run over a sequence, gate by gate.

    Args:
        input_size: I, the number of inputs at each step.
        hidden_size: H, the number of units.
        rng: a seed or a ``numpy.random.Generator`` for the initial weights.
        init: ``"standard"`` draws input weights after Glorot, makes recurrent weights orthogonal and sets the bias of
            the forget gate to 1, so that a new network remembers; ``"normal"`` draws all weights with ``randn`` and
            leaves every bias at 0, as first tutorials do.

    Raises:
        ValueError: ``init`` is neither of the two, or a size is not positive; in every method, an array is no column
            of the right height.

    >>> import numpy as np
    >>> from compuerta.textbook import LSTM
    >>> lstm = LSTM(3, 5, rng=0)
    >>> h_t, C_t = lstm.forward(np.ones((3, 1)), np.zeros((5, 1)), np.zeros((5, 1)))
    >>> h_t.shape, C_t.shape
    ((5, 1), (5, 1))
    >>> lstm.forward_sequence(np.ones((4, 3))).shape
    (4, 5)
    """

    def __init__(self, input_size: int, hidden_size: int, rng: Any = None, *, init: str = "standard") -> None:
        if input_size < 1 or hidden_size < 1:
            raise ValueError(f"LSTM: sizes must be positive; got input_size={input_size}, hidden_size={hidden_size}.")
        self.input_size = input_size
        self.hidden_size = hidden_size
        rng = np.random.default_rng(rng)
        for k in BLOCKS:
            if init == "normal":
                W = rng.standard_normal((hidden_size, hidden_size + input_size))
            elif init == "standard":
                bound = np.sqrt(6.0 / (input_size + hidden_size))  # Glorot and Bengio 2010
                W_x = rng.uniform(-bound, bound, (hidden_size, input_size))
                Q, R = np.linalg.qr(rng.standard_normal((hidden_size, hidden_size)))
                W = np.hstack((Q * np.sign(np.diag(R)), W_x))  # columns: first h, then x
            else:
                raise ValueError(f"init: expected 'standard' or 'normal'; got {init!r}.")
            setattr(self, "W" + k, W)
            setattr(self, "b" + k, np.zeros((hidden_size, 1)))
        if init == "standard":
            self.bf += 1.0

    Wf: Array
    Wi: Array
    WC: Array
    Wo: Array
    bf: Array
    bi: Array
    bC: Array
    bo: Array

    # ---- one step, in the order of the equations; step_backward walks it in reverse -------------------------------

    def step(self, x: Array, h_prev: Array, C_prev: Array) -> dict[str, Array]:
        """Compute one step and return every intermediate by name.

        Args:
            x: (I, 1), the input.
            h_prev, C_prev: (H, 1), the state before the step.

        Returns:
            ``x``, ``h_prev``, ``C_prev``, ``concat`` (H + I, 1), the pre-activations ``zf, zi, zC, zo``, the gates
            ``f, i, o``, the candidate ``C_tilde``, ``C``, ``tanh_C`` and ``h``, all (H, 1).
        """
        x = _column(x, self.input_size, "x")
        h_prev, C_prev = _column(h_prev, self.hidden_size, "h_prev"), _column(C_prev, self.hidden_size, "C_prev")
        concat = np.vstack((h_prev, x))
        zf = self.Wf @ concat + self.bf
        f = sigmoid(zf)
        zi = self.Wi @ concat + self.bi
        i = sigmoid(zi)
        zC = self.WC @ concat + self.bC
        C_tilde = tanh(zC)
        C = f * C_prev + i * C_tilde
        zo = self.Wo @ concat + self.bo
        o = sigmoid(zo)
        tanh_C = tanh(C)
        h = o * tanh_C
        return {
            "x": x, "h_prev": h_prev, "C_prev": C_prev, "concat": concat, "zf": zf, "f": f, "zi": zi, "i": i,
            "zC": zC, "C_tilde": C_tilde, "C": C, "zo": zo, "o": o, "tanh_C": tanh_C, "h": h,
        }  # fmt: skip

    def step_backward(self, s: dict[str, Array], dh: Array, dC: Array) -> dict[str, Array]:
        """Walk one step in reverse: from dL/dh_t and dL/dC_t to everything that came in.

        Args:
            s: what :meth:`step` returned.
            dh, dC: (H, 1), the gradient of the loss with respect to ``h`` and ``C``; that of ``C`` without what comes
                through ``h``, which is added here.

        Returns:
            ``dWf ... dbo`` of this step alone, ``dx`` (I, 1), ``dh_prev`` and ``dC_prev`` (H, 1).
        """
        do = dh * s["tanh_C"]
        dC = dC + dh * s["o"] * (1 - s["tanh_C"] ** 2)
        df = dC * s["C_prev"]
        di = dC * s["C_tilde"]
        dC_tilde = dC * s["i"]
        dz = {
            "f": df * s["f"] * (1 - s["f"]),
            "i": di * s["i"] * (1 - s["i"]),
            "C": dC_tilde * (1 - s["C_tilde"] ** 2),
            "o": do * s["o"] * (1 - s["o"]),
        }
        grads: dict[str, Array] = {}
        dconcat = np.zeros_like(s["concat"])
        for k in BLOCKS:
            grads["dW" + k] = dz[k] @ s["concat"].T
            grads["db" + k] = dz[k]
            dconcat = dconcat + getattr(self, "W" + k).T @ dz[k]
        H = self.hidden_size
        grads["dh_prev"] = dconcat[:H]
        grads["dx"] = dconcat[H:]
        grads["dC_prev"] = dC * s["f"]
        return grads

    def forward(self, x: Array, h_prev: Array, C_prev: Array) -> tuple[Array, Array]:
        """Compute one step: ``(h_t, C_t)``, both (H, 1), from ``x`` (I, 1) and the state before."""
        s = self.step(x, h_prev, C_prev)
        return s["h"], s["C"]

    # ---- a sequence -------------------------------------------------------------------------------------------------

    def trace(self, X: Array, h0: Array | None = None, C0: Array | None = None) -> list[dict[str, Array]]:
        """Run over ``X`` (T, I) from ``h0, C0`` (zeros if not given) and return every step's intermediates."""
        zeros = np.zeros((self.hidden_size, 1))
        h = zeros if h0 is None else h0
        C = zeros if C0 is None else C0
        steps = []
        for x in np.asarray(X):
            s = self.step(x.reshape(-1, 1), h, C)
            h, C = s["h"], s["C"]
            steps.append(s)
        return steps

    def forward_sequence(self, X: Array, h0: Array | None = None, C0: Array | None = None) -> Array:
        """Run over ``X`` (T, I) and return every ``h_t`` as the rows of (T, H).

        What :meth:`backward_sequence` needs is kept until the next call.
        """
        self._steps = self.trace(X, h0, C0)
        if not self._steps:
            return np.zeros((0, self.hidden_size))
        return np.hstack([s["h"] for s in self._steps]).T

    def backward_sequence(self, dH: Array, dC: Array | None = None) -> dict[str, Array]:
        """Backpropagation through time over the last :meth:`forward_sequence`.

        Each state is reached by two ways, from its own output and from the step after it; both are added. The weights
        are the same at every step, so their gradients are summed over the steps.

        Args:
            dH: (T, H), the gradient of the loss with respect to every ``h_t``.
            dC: (H, 1), the gradient with respect to the last ``C_T``; zeros if not given.

        Returns:
            ``dWf, dWi, dWC, dWo`` (H, H + I), ``dbf, dbi, dbC, dbo`` (H, 1), ``dX`` (T, I), and ``dh0``, ``dC0``
            (H, 1) for the initial state.

        Raises:
            RuntimeError: :meth:`forward_sequence` has not been called, or ``dH`` is not of its length.
        """
        steps: list[dict[str, Array]] | None = getattr(self, "_steps", None)
        dH = np.asarray(dH)
        if steps is None or len(steps) != len(dH):
            raise RuntimeError("backward_sequence: call forward_sequence(X) first, with as many steps as dH has rows.")
        grads = {kind + k: np.zeros_like(getattr(self, kind[1] + k)) for k in BLOCKS for kind in ("dW", "db")}
        dh_next = np.zeros((self.hidden_size, 1))
        dC_next = np.zeros((self.hidden_size, 1)) if dC is None else _column(dC, self.hidden_size, "dC")
        dX = []
        for s, dh in zip(reversed(steps), dH[::-1], strict=True):
            g = self.step_backward(s, dh.reshape(-1, 1) + dh_next, dC_next)
            dh_next, dC_next = g["dh_prev"], g["dC_prev"]
            dX.append(g["dx"])
            for name in grads:
                grads[name] = grads[name] + g[name]
        grads["dX"] = np.hstack(dX[::-1]).T if dX else np.zeros((0, self.input_size))
        grads["dh0"], grads["dC0"] = dh_next, dC_next
        return grads

    # ---- to and from the real layer ---------------------------------------------------------------------------------

    @classmethod
    def from_layer(cls, layer: Any, index: int = 0, *, reverse: bool = False) -> LSTM:
        """Return the textbook cell with the weights of one layer and direction of a ``compuerta.LSTM``.

        Args:
            layer: a ``compuerta.LSTM`` (its blocks are in the order i, f, g, o).
            index: which of its stacked layers.
            reverse: the backward direction of a bidirectional layer.
        """
        if not layer.variant.plain:
            raise ValueError("from_layer: expected an LSTM without variants; the textbook has only the plain cell.")
        w_x, w_h, b = (layer.parameters[name] for name in layer.names(index, reverse=reverse))
        hidden = w_h.shape[1]
        cell = cls(w_x.shape[1], hidden)
        for k, block in zip("ifCo", range(4), strict=True):
            rows = slice(block * hidden, (block + 1) * hidden)
            setattr(cell, "W" + k, np.hstack((w_h[rows], w_x[rows])).astype(np.float64))
            setattr(cell, "b" + k, b[rows].reshape(-1, 1).astype(np.float64))
        return cell

    def to_layer(self, layer: Any = None, index: int = 0, *, reverse: bool = False) -> Any:
        """Write these weights into one layer and direction of a ``compuerta.LSTM`` and return that layer.

        Without a layer, a new float64 one of the same sizes is made.
        """
        if layer is None:
            from . import hooks  # the one place that needs the rest of the project, and only when asked

            layer = hooks.call("textbook.LSTM.to_layer", self.input_size, self.hidden_size, dtype="float64", rng=0)
        H = self.hidden_size
        names = layer.names(index, reverse=reverse)
        W = np.vstack([getattr(self, "W" + k) for k in "ifCo"])
        layer.parameters[names[0]] = W[:, H:]
        layer.parameters[names[1]] = W[:, :H]
        layer.parameters[names[2]] = np.vstack([getattr(self, "b" + k) for k in "ifCo"])[:, 0]
        return layer
