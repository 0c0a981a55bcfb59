"""Layers: parameters, a forward pass and a backward pass."""

from .activation import Activation
from .base import Blank, Gradients, Layer, Record
from .feedforward import Dense, Dropout, Embedding, Last
from .gru import GRU
from .lstm import LSTM
from .min_lstm import MinLSTM
from .parameters import Parameters
from .recurrent import Recurrent
from .sequential import Sequential
from .stack import Stack
from .stream import Stream
from .trace import Trace

#: The layers that a model file may name.
LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls for cls in (LSTM, GRU, MinLSTM, Dense, Embedding, Dropout, Last, Activation, Sequential)
}

__all__ = [
    "GRU",
    "LAYERS",
    "LSTM",
    "Activation",
    "Blank",
    "Dense",
    "Dropout",
    "Embedding",
    "Gradients",
    "Last",
    "Layer",
    "MinLSTM",
    "Parameters",
    "Record",
    "Recurrent",
    "Sequential",
    "Stack",
    "Stream",
    "Trace",
]


def __dir__() -> list[str]:
    return sorted(__all__)
