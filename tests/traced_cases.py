"""Cells to trace, with random weights."""

from compuerta import GRU, LSTM, MinLSTM

#: Every kind of cell, with switches that touch each line of a step.
KINDS = {
    "lstm": (LSTM, {}),
    "gru": (GRU, {}),
    "gru, reset before": (GRU, {"reset_after": False}),
    "minimal": (MinLSTM, {}),
    "peepholes, coupled, projection": (LSTM, {"peepholes": True, "coupled": True, "projection_size": 3}),
    "normalised, zoneout": (LSTM, {"layer_norm": "cell", "zoneout": (0.2, 0.1)}),
    "full gate recurrence": (LSTM, {"full_gate_recurrence": True, "peepholes": True}),
    "no forget gate": (LSTM, {"forget_gate": False, "input_activation": "Identity"}),
}  # fmt: skip


def drawn(layer, rng):
    """Give every parameter a random value: a bias of zero can't see a bias that is forgotten."""
    layer.parameters.writable()[...] = rng.normal(size=layer.parameters.size) * 0.6
    return layer


def make(kind, rng, dtype="float64", layers=2, bidirectional=True, inputs=3, hidden=4):
    cls, switches = KINDS[kind]
    return drawn(cls(inputs, hidden, layers, bidirectional=bidirectional, dtype=dtype, rng=0, **switches), rng)
