"""Tasks: from a person's data to a model that answers."""

from .answers import Option
from .base import Task
from .forecast import Backtest, Forecast
from .forecaster import Forecaster
from .language_model import LanguageModel

#: The tasks that a model file may name, and that the command offers.
TASKS: dict[str, type[Task]] = {cls.__name__: cls for cls in (LanguageModel, Forecaster)}

__all__ = ["TASKS", "Backtest", "Forecast", "Forecaster", "LanguageModel", "Option", "Task"]


def __dir__() -> list[str]:
    return sorted(__all__)
