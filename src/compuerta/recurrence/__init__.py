"""The mathematics over time, as functions on plain arrays behind one contract, and the choice of who computes it.

Layers talk to the engine that :func:`active` returns: see :mod:`.contract`. What runs step by step, with every number
kept, is a :class:`Stepwise` cell of some :class:`Equations`.
"""

from .choice import active, engine, engines, lstm, min_lstm, use_engine, variants, why_not_native
from .clamps import Clamps
from .contract import Cell, Engine, Tape
from .equations import Equations
from .equations.gru import GRUEquations
from .equations.lstm import LSTMEquations
from .equations.min_lstm import MinLSTMEquations
from .equations.rnn import RNNEquations
from .memory import empty
from .stepwise import Stepwise, StepwiseTape, stepwise_cell
from .threads import num_threads, set_num_threads
from .variant import Variant

__all__ = [
    "Cell",
    "Clamps",
    "Engine",
    "Equations",
    "GRUEquations",
    "LSTMEquations",
    "MinLSTMEquations",
    "RNNEquations",
    "Stepwise",
    "StepwiseTape",
    "Tape",
    "Variant",
    "active",
    "empty",
    "engine",
    "engines",
    "lstm",
    "min_lstm",
    "num_threads",
    "set_num_threads",
    "stepwise_cell",
    "use_engine",
    "variants",
    "why_not_native",
]


def __dir__() -> list[str]:
    return sorted(__all__)
