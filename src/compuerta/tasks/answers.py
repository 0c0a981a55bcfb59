"""What a task answers with: plain data that the command, the page and the converters understand without knowing it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from ..errors import Phrase
from ..layers import Layer, Trace
from ..training import Callback

Array = NDArray[Any]


@dataclass(frozen=True)
class Option:
    """An option of the command that a task declares.

    Tasks may declare the same option, which then has the same type; its help is the catalogue's
    ``cli.<command>.<name>``.

    Attributes:
        name: as Python has it: ``batch_size`` is ``--batch-size``.
        type: "integer", "number", "text", "choice" (one of ``choices``) or "flag".
        low, high: the range of a number; ``open_low`` leaves its lower end out.
        default: the value if the option is not given; None leaves it to the task.
        setting: the argument of the task that it sets, where that has another name.
    """

    name: str
    type: str
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    choices: tuple[str, ...] = ()
    default: Any = field(default=None, compare=False)
    setting: str = field(default="", compare=False)

    @property
    def argument(self) -> str:
        """The argument of the task that it sets."""
        return self.setting or self.name


def unnoted(phrase: Phrase) -> None:
    """Take a note and do nothing with it."""


@dataclass(frozen=True)
class Context:
    """The context of a run for a user: where notes and progress go, and what the run is given.

    Attributes:
        source: the name of the file that the data came from, for messages.
        lang: the language of progress bars.
        note: called with what the user should know before the work begins.
        callbacks: called during every network's training.
        checkpoint: a file to which a task that can resume saves its run; None for none.
        resume: continue from that file.
    """

    source: str = ""
    lang: str | None = None
    note: Callable[[Phrase], None] = unnoted
    callbacks: Sequence[Callback] = ()
    checkpoint: str | os.PathLike[str] | None = None
    resume: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table of figures: its head, its width, and how many decimals; if None, four figures of the largest.

    >>> Column("MASE", 8, 2).width
    8
    """

    head: str
    width: int
    decimals: int | None = None


@dataclass(frozen=True)
class Figures:
    """A small table: in each row a name and a figure for each column."""

    columns: Sequence[Column]
    rows: Sequence[tuple[Phrase, Sequence[float]]]


@dataclass(frozen=True)
class Report:
    """How good a model is: lines for a person, always with the figure to beat, and values for a program."""

    lines: Sequence[Phrase | Figures] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawing:
    """A picture: which kind of :data:`compuerta.see.plots.DRAWINGS`, and the arguments of its function."""

    kind: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a page shows of a model: one trace, and what the page cannot know from it.

    Attributes:
        trace: of the recurrent layers, with what else was run where the page is to run it too.
        title: the page's heading; empty for the beginning of the text that was read.
        dy: the gradient that flows back, shaped as the trace's output; if None, as the page chooses it.
        gradient_of: what that is the gradient of, a word of the page: "loss", "forecast" or "output".
        arrays: more that was read or said, by the page's name for it, such as "forecast" (h,).
        weights, model: more arrays and settings for the page's own run, used where it can run the model.
    """

    trace: Trace
    title: str = ""
    dy: Array | None = None
    gradient_of: str = ""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    weights: Mapping[str, Array] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)


class GraphBuilder(Protocol):
    """A graph of operators of ONNX in the making, to which a task adds its own; values are called by name."""

    def add(self, op: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> Any:
        """Append an operator; return the name of its output, or the names if there are several."""

    def weight(self, name: str, array: Array) -> str:
        """Keep an array of the model under a name."""

    def ints(self, *values: int) -> str:
        """Return the name of a constant list of ints."""

    def input(self, name: str, dtype: Any, shape: Sequence[int | str], default: Array | None = None) -> str:
        """Declare an input; with a default it need not be given."""

    def output(self, source: str, name: str, dtype: Any, shape: Sequence[int | str]) -> None:
        """Give a value out under a name."""

    def network(self, prefix: str, layer: Layer, x: str) -> str:
        """Append layers that read a window (N, W, F) or values (N, F); return what they give at its end, (N, K)."""
