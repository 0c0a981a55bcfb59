"""compuerta: LSTMs with the gates open. Train them, run them, save them and see every gate at every step.

>>> import numpy as np, compuerta
>>> layer = compuerta.LSTM(input_size=8, hidden_size=16, rng=0)
>>> y, (h, c) = layer(np.zeros((32, 100, 8)))
>>> y.shape
(32, 100, 16)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import hooks

__version__ = "0.1.0"

# What a trace and the textbook offer, though it stands above them.
hooks.register("Trace.to_html", "compuerta.see.html:page")
hooks.register("Trace._repr_html_", "compuerta.see.html:output")
hooks.register("Trace.explain", "compuerta.see.explain:explain_trace")
hooks.register("Trace.plot", "compuerta.see.plots:view")
hooks.register("textbook.LSTM.to_layer", "compuerta.layers:LSTM")

# Names are imported when they are first used, so that `import compuerta` costs next to nothing.
_WHERE = {
    "LSTM": "layers",
    "GRU": "layers",
    "MinLSTM": "layers",
    "Dense": "layers",
    "Embedding": "layers",
    "Dropout": "layers",
    "Last": "layers",
    "Activation": "layers",
    "Sequential": "layers",
    "Trace": "layers",
    "Trainer": "training",
    "LanguageModel": "tasks",
    "Forecaster": "tasks",
    "save": "interop",
    "load": "interop",
    "engine": "recurrence",
    "use_engine": "recurrence",
    "num_threads": "recurrence",
    "set_num_threads": "recurrence",
}
_MODULES = (
    "activations", "data", "errors", "gates", "initializers", "interop", "layers", "recurrence", "see", "tasks",
    "textbook", "training",
)  # fmt: skip

__all__ = [*_WHERE, *_MODULES, "__version__"]

if TYPE_CHECKING:
    from . import activations as activations
    from . import data as data
    from . import errors as errors
    from . import gates as gates
    from . import initializers as initializers
    from . import interop as interop
    from . import layers as layers
    from . import recurrence as recurrence
    from . import see as see
    from . import tasks as tasks
    from . import textbook as textbook
    from . import training as training
    from .interop import load as load
    from .interop import save as save
    from .layers import GRU as GRU
    from .layers import LSTM as LSTM
    from .layers import Activation as Activation
    from .layers import Dense as Dense
    from .layers import Dropout as Dropout
    from .layers import Embedding as Embedding
    from .layers import Last as Last
    from .layers import MinLSTM as MinLSTM
    from .layers import Sequential as Sequential
    from .layers import Trace as Trace
    from .recurrence import engine as engine
    from .recurrence import num_threads as num_threads
    from .recurrence import set_num_threads as set_num_threads
    from .recurrence import use_engine as use_engine
    from .tasks import Forecaster as Forecaster
    from .tasks import LanguageModel as LanguageModel
    from .training import Trainer as Trainer
else:  # a type checker is to know the names above and no others

    def __getattr__(name):
        if name not in _WHERE:
            return hooks.submodule(__name__, name)
        value = getattr(import_module(f".{_WHERE[name]}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
