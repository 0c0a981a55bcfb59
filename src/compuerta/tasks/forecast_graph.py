"""A forecaster as a graph of operators of ONNX: all that it does, in float64 around its networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answers import GraphBuilder
from .forecast_network import ForecastNetwork
from .windows import View

Array = NDArray[Any]


def forecast_graph(
    members: Sequence[tuple[View, ForecastNetwork]], log: bool, length: int, graph: GraphBuilder
) -> None:
    """Add the members' mean to a graph, see :meth:`compuerta.Forecaster.graph`.

    Args:
        members: views and networks.
        log: whether the series is modelled by its logarithm.
        length: how many values the training series had.
        graph: what is added to.
    """
    view = members[0][0]
    z = graph.input("series", np.float64, ("N", "T"))
    if log:
        z = graph.add("Log", z)
    step = ""
    if view.period > 1:
        step = graph.input("step", np.int64, ("N",), np.array([length - 1]))
        step = graph.add("Unsqueeze", graph.add("Cast", step, to=11), graph.ints(1))
    total = ""
    for k, (view, network) in enumerate(members):
        forecast = _member(graph, f"{k}.", view, network, z, step)
        total = graph.add("Add", total, forecast) if total else forecast
    count = graph.weight("members", np.array(len(members), np.float64))
    mean = graph.add("Div", total, count)
    if log:
        mean = graph.add("Exp", mean)
    graph.output(mean, "forecast", np.float64, ("N", view.horizon))


def _member(graph: GraphBuilder, prefix: str, view: View, network: ForecastNetwork, z: str, step: str) -> str:
    """One network's forecast, (N, h); the equations of :class:`compuerta.tasks.windows.View`."""

    def back(first: int, last: int) -> str:
        """The values from ``first`` to ``last`` steps before the newest."""
        end = graph.ints(2**31 - 1) if last == 0 else graph.ints(-last)
        return str(graph.add("Slice", z, graph.ints(-first - 1), end, graph.ints(1)))

    w, period = view.window, view.period
    newest, recent = back(0, 0), back(w - 1, 0)
    relative = graph.add("Sub", recent, newest)
    if view.base == "season":
        pair = [graph.add("Sub", recent, back(w - 1 + period, period)), relative]
    else:
        pair = [relative, graph.add("Sub", recent, back(w, 1))]
    scale = graph.weight(prefix + "scale", np.array(view.scale, np.float64))
    channels = [graph.add("Div", channel, scale) for channel in pair]
    if period > 1:
        at = graph.add("Add", step, graph.weight(f"steps:{w}", np.arange(1.0 - w, 1.0)))
        turn = graph.add("Mul", at, graph.weight("turn", np.array(2 * math.pi)))
        angle = graph.add("Div", turn, graph.weight(f"period:{period}", np.array(float(period))))
        season = [graph.add("Sin", angle), graph.add("Cos", angle)]
    else:
        season = [graph.weight(f"still:{w}", np.zeros((1, w)))] * 2
    shape = graph.add("Shape", recent)
    channels += [graph.add("Expand", channel, shape) for channel in season]
    stacked = graph.add("Concat", *(graph.add("Unsqueeze", c, graph.ints(2)) for c in channels), axis=2)
    x = str(graph.add("Cast", stacked, to=1))
    y = graph.network(prefix + "core.", network.core, x)
    values = graph.add("Slice", x, graph.ints(0), graph.ints(2), graph.ints(2))
    straight = graph.network(prefix + "skip.", network.skip, graph.add("Reshape", values, graph.ints(0, 2 * w)))
    y = graph.add("Cast", graph.add("Add", y, straight), to=11)
    if view.base == "season":
        each = graph.weight(f"season:{period}:{view.horizon}", np.arange(view.horizon, dtype=np.int64) % period)
        base = graph.add("Gather", back(period - 1, 0), each, axis=1)
    else:
        base = newest
    return str(graph.add("Add", base, graph.add("Mul", y, scale)))
