"""A recorded run, with the inputs and the tape of each layer: the source of every trace of a live model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, gates, recurrence
from ..errors import SettingError
from ..recurrence import Clamps, Stepwise, StepwiseTape
from ..recurrence.packing import Packing
from ..recurrence.saturation import clip_extremes
from ..recurrence.tiles import of_inputs
from .axes import Axes
from .base import Array, Layer, Lengths
from .stack import Stack, StackTape
from .trace import Trace

#: Numbers of a block of steps whose pre-activations are computed together: they stay in the cache.
_CACHED = 1 << 17


def trace_model(
    model: Layer, x: ArrayLike, state: Any, lengths: ArrayLike | None, clamp: Mapping[Any, float] | None
) -> tuple[Array, Trace]:
    """Run ``model`` layer by layer, exactly as without a trace, and keep each layer's tape."""
    batch, single = model.check_inputs(x)
    n, t = batch.shape[:2]
    valid = checks.lengths(lengths, model.name, n, t) if lengths is not None else None
    clamps = model.check_clamp(clamp) if clamp else None
    if isinstance(x, np.ndarray) and np.may_share_memory(batch, x):
        batch = batch.copy()  # the trace must not change when the caller reuses x
    nodes: list[Node] = []
    for leaf, initial in model.leaves(model.check_state(state, n)):
        y, _, tape = leaf.run(batch, initial, valid, True, None, clamps)
        kind = StackNode if isinstance(leaf, Stack) else Node
        nodes.append(kind(leaf, tape, batch, initial, valid, leaf.parameters.version))
        batch = y
    run = Run(nodes)
    y = nodes[-1].kept_output(y)
    kinds = [s.layer.kind for s in run.stacks for _ in range(s.layer.num_layers)]
    trace = Trace(run, (n, t), kinds, y, axes=Axes(lengths=valid))
    return (y[0] if single else y), trace


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One traced layer: its tape, inputs and initial state, and the version of its parameters."""

    layer: Any
    tape: Any
    x: Array
    state: Any
    lengths: Lengths
    version: int

    def kept_output(self, y: Array) -> Array:
        """Return the output, as an array of its own where it is its input handed through."""
        return y.copy() if y is self.x or np.may_share_memory(y, self.x) else y

    def unchanged(self) -> None:
        """Refuse to compute with parameters that are no longer those of the run.

        Raises:
            SettingError: they changed.
        """
        if self.layer.parameters.version != self.version:
            raise SettingError("error.trace_stale", name=self.layer.name)

    def back(self, dy: Array, into: dict[Any, Array] | None, first: int) -> Array | None:
        """Return the gradient of the inputs from that of the outputs."""
        self.unchanged()
        scratch = np.empty(self.layer.parameters.size, self.layer.parameters.dtype)
        dx: Array | None = self.layer.back(self.tape, dy, None, scratch)[0]
        return dx


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a walk back: down to which layer of a stack, whose inputs then do not matter, and what is kept.

    Attributes:
        lowest: the layer; None for all of them and the inputs of the first.
        keys: the quantities; None for all.
        norms: only their norms over the units, (S, T) in place of (S, T, H), in float64.
    """

    lowest: int | None = None
    keys: Sequence[str] | None = None
    norms: bool = False


class StackNode(Node):
    """One recurrent layer of what was traced."""

    __slots__ = ()

    layer: Stack
    tape: StackTape

    def read(self, key: str, k: int, d: int) -> Array:
        """Return one quantity of one stacked layer and direction, or what its activation saw, as (N, T, H)."""
        try:
            return self.tape.tapes[k][d].read(key)
        except KeyError:  # it keeps what came out of an activation, and not what went in
            block = key.removeprefix("z_")
            if block == key or block not in self.layer.blocks:
                raise
        return self._before_activation(block, k, d)

    def inputs(self, k: int) -> Array:
        """Return what stacked layer ``k`` read, (N, T, F)."""
        if k == 0:
            return self.x
        below = [self.read("h", k - 1, d) for d in range(self.layer.directions)]
        return below[0] if len(below) == 1 else np.concatenate(below, axis=2)

    def initial(self, k: int, d: int) -> list[Array]:
        """Return the parts of the state that stacked layer ``k`` started from, each (N, H)."""
        state = self.state if self.state is not None else self.layer.initial_state(len(self.x))
        return [part[k * self.layer.directions + d] for part in state]

    def packing(self, d: int) -> Packing:
        """Return the order of computation of one direction."""
        return Packing(self.x.shape[0], self.x.shape[1], self.lengths, d == 1)

    def _before_activation(self, block: str, k: int, d: int) -> Array:
        """Compute what the activation of one block of a plain LSTM or GRU saw, from the inputs and h before it.

        The engines keep what came out, not what went in; this is the same sum in another order, so its σ or tanh is
        the gate to rounding. It goes from the last steps that were read to the first, some at a time, so that they stay
        in the cache and that the result takes the place of an h that nothing needs any more.
        """
        self.unchanged()
        w_x, w_h, b, *b_hn = (self.layer.parameters[name] for name in self.layer.names(k, reverse=d == 1))
        place, hidden = self.layer.blocks.index(block), self.layer.hidden_size
        w_x, w_h, b = (w[place * hidden : (place + 1) * hidden] for w in (w_x, w_h, b))
        dense = recurrence.active().dense
        x, out, first = self.inputs(k), self.read("h", k, d), self.initial(k, d)[0]
        order = slice(None, None, -1 if d else 1)
        kind = self.layer.kind
        gated = kind.key == gates.GRU.key and block == kind.memory.candidate  # what it sees of h goes through r
        r = self.read("r", k, d)[:, order] if gated else None
        x, h = x[:, order], out[:, order]
        n, t = h.shape[:2]
        # Where each row begins: read backward, behind its padding.
        starts = np.zeros(n, np.intp) if self.lengths is None or d == 0 else t - self.lengths
        size = max(1, _CACHED // max(1, n * max((hidden, *x.shape[2:]))))
        for begin in reversed(range(0, t, size)):
            now = slice(begin, begin + size)
            before_it = h[:, begin - 1 : begin] if begin else first[:, None]
            h_prev = np.concatenate((before_it, h[:, now][:, :-1]), axis=1)
            begins = np.flatnonzero((starts >= begin) & (starts < begin + h_prev.shape[1]))
            h_prev[begins, starts[begins] - begin] = first[begins]
            block_of, h_prev = h_prev.shape, h_prev.reshape(-1, hidden)
            with np.errstate(all="ignore"):
                x_now = clip_extremes(x[:, now].reshape(len(h_prev), *x.shape[2:]))
                z = dense(x_now, w_x, b) if x_now.ndim == 2 else of_inputs(x_now, w_x) + b
                if r is None:
                    z += dense(h_prev, w_h, None)
                else:
                    r_now = r[:, now].reshape(-1, hidden)
                    z += r_now * dense(h_prev, w_h, b_hn[0]) if b_hn else dense(r_now * h_prev, w_h, None)
            h[:, now] = z.reshape(block_of)
        if self.lengths is not None:
            out[np.arange(t) >= self.lengths[:, None]] = 0
        return out

    def _stepwise_tape(self, cell: Stepwise, k: int, d: int) -> StepwiseTape:
        """Return the tape of one place as ``cell`` writes it."""
        tape: Any = self.tape.tapes[k][d]
        if tape.stepwise:
            return cast(StepwiseTape, tape)
        weights = self.layer.packed_weights(cell)[k * self.layer.directions + d]
        return cell.reopen(
            weights, self.packing(d), self.inputs(k), lambda key: self.read(key, k, d), self.initial(k, d)
        )

    def back(
        self, dy: Array, into: dict[Any, Array] | None, first: int, request: Request | None = None
    ) -> Array | None:
        """Walk the stack back; the gradient of every quantity goes ``into[name, layer, direction]``.

        A run over one row may be walked for many gradients at once: ``dy`` is then (S, T, D·H), and so is the rest.
        None is returned where the walk ends before the stack does.
        """
        self.unchanged()
        request = request or Request()
        width, dx = self.layer.output_size, dy
        for k in reversed(range(request.lowest or 0, self.layer.num_layers)):
            inputs = not (self.layer.tokens and k == 0) and k != request.lowest
            below: Array | None = None
            for d in range(self.layer.directions):
                gradients = self._flow(dx[:, :, d * width : (d + 1) * width], k, d, inputs, request)
                if inputs:
                    part = gradients.pop("x")
                    below = part if below is None else below + part
                if into is not None:
                    into.update({(name, first + k, d): values for name, values in gradients.items()})
            if below is None:
                return None
            dx = below
        return dx

    def _flow(self, dy: Array, k: int, d: int, inputs: bool, request: Request) -> dict[str, Array]:
        cell = self.layer.stepwise_cell()
        tape = self._stepwise_tape(cell, k, d)
        packing, many = tape.packing, len(dy) != len(self.x)
        shape: tuple[int, ...]
        places: Sequence[Any]
        if many:  # of one row: where each walk begins, the longest first, so that those under way are the first rows
            order = range(len(packing.steps))
            times = list(reversed(order) if packing.reverse else order)
            shape, source = dy.shape[:2], dy
            there = np.asarray(dy.any(axis=2))[:, times]
            walked = np.where(there.any(axis=1), len(times) - there[:, ::-1].argmax(axis=1), 0)
            rows = np.argsort(-walked, kind="stable")
            counts = [int((walked > i).sum()) for i in range(walked.max(initial=0))]
            places = [(rows[:count], t) for t, count in zip(times, counts, strict=False)]
            tape = replace(
                tape, packing=Packing(1, len(places), None, packing.reverse), steps=tape.steps[: len(places)]
            )
        else:
            shape, source = (packing.rows,), packing.pack(dy)
            places = [slice(start, start + count) for start, count in packing.steps]
        running = [np.zeros((len(dy), part.shape[1]), dy.dtype) for part in self.initial(k, d)]
        gradients: dict[str, Array] = {}
        with np.errstate(all="ignore"):
            walk = cell.flow(tape, (source[at] for at in reversed(places)), running, inputs)
            for at, step in zip(reversed(places), walk, strict=True):
                for name, values in step.items():
                    if not (request.keys is None or name in request.keys or name == "x"):
                        continue
                    if request.norms and name != "x":
                        values = np.sqrt(np.einsum("nh,nh->n", values, values, dtype=np.float64))
                    if name not in gradients:
                        gradients[name] = np.zeros((*shape, *values.shape[1:]), values.dtype)
                    gradients[name][at] = values
        if not places:
            layer = self.layer
            widths = dict.fromkeys((*layer.kind.names, *("z_" + block for block in layer.blocks)), layer.hidden_size)
            widths["h"] = layer.output_size
            if inputs:
                widths["x"] = layer.directions * layer.output_size if k else layer.input_size
            return {
                name: np.zeros(dy.shape[:2] if request.norms and name != "x" else (*dy.shape[:2], width), dy.dtype)
                for name, width in widths.items()
            }
        if many:
            return gradients
        return {name: np.ascontiguousarray(packing.unpack(rows)) for name, rows in gradients.items()}


class Run:
    """The recorded run, from which a trace computes what is not stored: see :class:`~compuerta.layers.trace.Trace`."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.stacks = [node for node in nodes if isinstance(node, StackNode)]
        #: For each layer of the trace: its stack, and its place in it.
        self.places = [(s, k) for s in self.stacks for k in range(s.layer.num_layers)]

    @property
    def run(self) -> Run:
        """Itself, see :class:`~compuerta.layers.trace_sources.Source`."""
        return self

    def directions(self, layer: int) -> int:
        """Return how many directions a layer reads in."""
        return self.places[layer][0].layer.directions

    def width(self, layer: int) -> int:
        """Return how many units a layer has."""
        return self.places[layer][0].layer.hidden_size

    def read(self, key: str, layer: int, direction: int) -> Array:
        """Return one quantity, (N, T, H). KeyError: there is none such."""
        stack, k = self.places[layer]
        return stack.read(key, k, direction)

    def inputs(self, layer: int) -> Array:
        """Return what a layer read, (N, T, F) or (N, T)."""
        stack, k = self.places[layer]
        return stack.inputs(k)

    def initial(self, part: str, layer: int, direction: int) -> Array:
        """Return one part of the state that a layer started from, (N, H). KeyError: there is none such."""
        stack, k = self.places[layer]
        if part not in stack.layer.parts:
            raise KeyError(part)
        return stack.initial(k, direction)[stack.layer.parts.index(part)]

    def ran(self, layer: int, direction: int) -> tuple[Stack, Clamps]:
        """Return the layer that ran, a whole stack, and what was clamped at one place of it."""
        stack, k = self.places[layer]
        tape = stack.tape.tapes[k][direction]
        return stack.layer, tape.clamps

    def gradients(self, dy: Array) -> dict[Any, Array]:
        """Return dL/d(every quantity of every layer) from dL/dy."""
        gradients: dict[Any, Array] = {}
        first = len(self.places)
        for node in reversed(self.nodes):
            if isinstance(node, StackNode):
                first -= node.layer.num_layers
            dx = node.back(dy, gradients, first)
            if dx is None or (
                first == 0 and not any(isinstance(n, StackNode) for n in self.nodes[: self.nodes.index(node)])
            ):
                break
            dy = dx
        return gradients

    def gradients_by_step(
        self, dy: Array, layer: int, outputs: NDArray[np.intp], keys: Sequence[str] | None, norms: bool
    ) -> dict[Any, Array]:
        """Return the gradients of ``layer`` and those above it in its stack for each of some steps' outputs alone.

        ``dy`` (1, T, D·H) is the gradient of the outputs of the stack that contains ``layer``.
        """
        stack, k = self.places[layer]
        each = np.zeros((len(outputs), *dy.shape[1:]), dy.dtype)
        each[np.arange(len(outputs)), outputs] = dy[0, outputs]
        gradients: dict[Any, Array] = {}
        stack.back(each, gradients, layer - k, Request(k, keys, norms))
        return gradients

    def down_to(self, layer: int, dy: Array) -> Array:
        """Return the gradient of the outputs of the stack of ``layer`` from that of the model's outputs."""
        stack, _ = self.places[layer]
        for node in reversed(self.nodes):
            if node is stack:
                return dy
            dx = node.back(dy, None, 0)
            assert dx is not None
            dy = dx
        raise AssertionError
