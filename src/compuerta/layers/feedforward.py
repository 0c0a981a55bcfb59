"""Layers without memory: Dense, Embedding, Dropout, Last."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks, initializers, recurrence
from ..errors import ShapeError
from ..recurrence.masks import dropout_mask
from ..recurrence.tokens import sum_by_token
from .base import Array, Blank, Layer, LayerClamps, Lengths
from .parameters import Parameters

_Rng = np.random.Generator | None


class Dense(Layer[None]):
    r"""A linear map of the last axis: :math:`y = x W^T + b`, in logits or any units.

    Parameters: ``w`` (outputs, inputs), ``b`` (outputs,).

    Args:
        input_size, output_size: features in and out.
        dtype: "float32" or "float64".
        rng: a seed or Generator for the initial weights (Glorot).
        zero: start with zero weights, so that the layer's first word is 0.

    >>> import numpy as np
    >>> from compuerta import Dense
    >>> Dense(3, 2, rng=0)(np.ones((4, 5, 3))).shape
    (4, 5, 2)
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        dtype: Any = "float32",
        rng: np.random.Generator | int | Blank | None = None,
        zero: bool = False,
    ) -> None:
        self.input_size = checks.size(input_size, self.name, "input_size")
        self.output_size = checks.size(output_size, self.name, "output_size")
        self.dtype = checks.float_dtype(dtype, self.name)
        self.zero = bool(zero)
        self.width_in, self.width_out = self.input_size, self.output_size
        shape = (self.output_size, self.input_size)
        self.parameters = Parameters({"w": shape, "b": shape[:1]}, self.dtype, self.name)
        if not self.zero and not isinstance(rng, Blank):
            self.parameters["w"] = initializers.glorot_uniform(checks.generator(rng, self.name), shape, self.dtype)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape."""
        return {"input_size": self.input_size, "output_size": self.output_size, "dtype": self.dtype.name,
                "zero": self.zero}  # fmt: skip

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        return checks.sequences(x, self.name, self.input_size, self.dtype)

    def run(
        self, x: Array, state: Any, lengths: Lengths, record: bool, rng: _Rng, clamps: LayerClamps | None = None
    ) -> tuple[Array, Any, Any]:
        y = recurrence.active().dense(x.reshape(-1, self.input_size), self.parameters["w"], self.parameters["b"])
        return y.reshape(*x.shape[:-1], self.output_size), None, x if record else None

    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[Array, Any]:
        d = self.parameters.named(out)
        rows, x = dy.reshape(-1, self.output_size), tape.reshape(-1, self.input_size)
        dx = recurrence.active().dense_back(x, self.parameters["w"], rows, d["w"], d["b"])
        return dx.reshape(tape.shape), None


class Embedding(Layer[None]):
    """A row of numbers for each token: ids (N, T) are gathered into (N, T, K).

    Parameter: ``w`` (vocabulary, K), drawn from N(0, 1).

    Args:
        vocabulary_size: number of tokens; ids lie in [0, vocabulary_size).
        embedding_size: K.
        dtype, rng: as in :class:`Dense`.

    >>> from compuerta import Embedding
    >>> Embedding(10, 4, rng=0)([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    reads_tokens = True

    def __init__(
        self,
        vocabulary_size: int,
        embedding_size: int,
        *,
        dtype: Any = "float32",
        rng: np.random.Generator | int | Blank | None = None,
    ) -> None:
        self.vocabulary_size = checks.size(vocabulary_size, self.name, "vocabulary_size")
        self.embedding_size = checks.size(embedding_size, self.name, "embedding_size")
        self.dtype = checks.float_dtype(dtype, self.name)
        self.width_out = self.embedding_size
        shape = (self.vocabulary_size, self.embedding_size)
        self.parameters = Parameters({"w": shape}, self.dtype, self.name)
        if not isinstance(rng, Blank):
            self.parameters["w"] = initializers.normal(checks.generator(rng, self.name), shape, 1.0, self.dtype)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer of the same shape."""
        return {"vocabulary_size": self.vocabulary_size, "embedding_size": self.embedding_size,
                "dtype": self.dtype.name}  # fmt: skip

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        return checks.tokens(x, self.name, self.vocabulary_size)

    def run(
        self, x: Array, state: Any, lengths: Lengths, record: bool, rng: _Rng, clamps: LayerClamps | None = None
    ) -> tuple[Array, Any, Any]:
        return self.parameters["w"][x], None, x if record else None

    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[None, Any]:
        dw = self.parameters.named(out)["w"]
        if (
            tape is None
        ):  # the layer above gathered the rows itself, and gives the gradient of the table: see Sequential
            dw[...] = dy
            return None, None
        rows = dy.reshape(-1, self.embedding_size)
        dw[...] = sum_by_token(rows, tape.ravel(), self.vocabulary_size)
        return None, None


class Dropout(Layer[None]):
    """Zero a share ``p`` of the values in training and scale the rest by 1/(1 − p); otherwise hand x through.

    It acts where a Generator is passed to ``forward(..., rng=...)``, and nowhere else.

    Source: Srivastava et al. 2014.

    >>> import numpy as np
    >>> from compuerta import Dropout
    >>> Dropout(0.5)(np.ones((1, 2, 3)))
    array([[[1., 1., 1.], [1., 1., 1.]]], dtype=float32)
    """

    def __init__(self, p: float = 0.5, *, dtype: Any = "float32") -> None:
        self.p = checks.number(p, "p", low=0.0, high=0.999)
        self.dtype = checks.float_dtype(dtype, self.name)
        self.parameters = Parameters({}, self.dtype)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer."""
        return {"p": self.p, "dtype": self.dtype.name}

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        return checks.sequences(x, self.name, None, self.dtype)

    def run(
        self, x: Array, state: Any, lengths: Lengths, record: bool, rng: _Rng, clamps: LayerClamps | None = None
    ) -> tuple[Array, Any, Any]:
        if rng is None or not self.p:
            return x, None, None
        mask = dropout_mask(rng, x.shape, self.p, self.dtype)
        with np.errstate(all="ignore"):
            return x * mask, None, mask

    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[Array, Any]:
        with np.errstate(all="ignore"):
            return (dy if tape is None else dy * tape), None


class Last(Layer[None]):
    """Keep each row's last valid step: (N, T, F) to (N, 1, F). A row of length 0 gives zeros.

    Args:
        dtype: "float32" or "float64".
        both_ends: the second half of the features is that of a recurrence that read from the end (an LSTM with
            ``bidirectional``), whose last step is the row's first one. Keras's ``Bidirectional`` without
            ``return_sequences`` gives this.

    >>> import numpy as np
    >>> from compuerta import Last
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> Last()(x), Last(both_ends=True)(x)
    (array([[[4., 5.]]], dtype=float32), array([[[4., 1.]]], dtype=float32))
    """

    def __init__(self, *, dtype: Any = "float32", both_ends: bool = False) -> None:
        self.dtype = checks.float_dtype(dtype, self.name)
        self.both_ends = bool(both_ends)
        self.parameters = Parameters({}, self.dtype)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer."""
        return {"dtype": self.dtype.name, "both_ends": self.both_ends}

    def check_inputs(self, x: ArrayLike) -> tuple[Array, bool]:
        batch, single = checks.sequences(x, self.name, None, self.dtype)
        if self.both_ends and batch.shape[2] % 2:
            raise ShapeError("error.two_halves", name=self.name, got=batch.shape)
        return batch, single

    def run(
        self, x: Array, state: Any, lengths: Lengths, record: bool, rng: _Rng, clamps: LayerClamps | None = None
    ) -> tuple[Array, Any, Any]:
        n, t, features = x.shape
        at = np.full(n, t) if lengths is None else lengths
        rows = np.flatnonzero(at > 0)
        last = at[rows] - 1
        y = np.zeros((n, 1, features), x.dtype)
        y[rows, 0] = x[rows, last]
        if self.both_ends and t:
            y[rows, 0, features // 2 :] = x[rows, 0, features // 2 :]
        return y, None, (x.shape, rows, last)

    def back(self, tape: Any, dy: Array, dstate: Any, out: Array) -> tuple[Array, Any]:
        shape, rows, last = tape
        half = shape[2] // 2 if self.both_ends else shape[2]
        dx = np.zeros(shape, dy.dtype)
        dx[rows, last, :half] = dy[rows, 0, :half]
        if self.both_ends and shape[1]:
            dx[rows, 0, half:] += dy[rows, 0, half:]
        return dx, None
