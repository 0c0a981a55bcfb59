"""What every task is: settings in the constructor, what was learnt in attributes with ``_``, one file, and its answers.

A task answers for itself: the command, the page and the converters ask it the questions of :class:`Task` and know
nothing else of it. A question that it does not answer is refused in one sentence.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from ..data.source import Named
from ..errors import FileFormatError, NotFittedError, Phrase, SettingError
from ..layers import LAYERS, Blank, Layer, Sequential, Trace
from .answers import Context, Drawing, GraphBuilder, Option, Reading, Report

Array = NDArray[Any]


class Task(ABC):
    """Base of the tasks, with scikit-learn's conventions: the constructor stores its arguments and does nothing else.

    ``fit`` returns ``self`` and sets ``report_`` last; ``get_params`` and ``set_params`` make ``sklearn.base.clone``
    work. Every task takes a ``seed``.

    A subclass declares what it is in class attributes and answers the questions that make sense for it; which it
    answers is asked with :meth:`answers`. Two commands call for abilities that are no questions to every task:

    - ``generate(prompt, n, *, temperature, top_k, top_p, stop, seed) -> str`` of a task that predicts a text, which
      then has ``score(text, *, clamp)`` in bits per character and ``trace(text)`` too: the commands ``generate`` and
      ``look --find``;
    - ``forecast(data, h, level) -> (Series, Forecast)`` of one that forecasts; ``data`` None is what it learnt from.

    Attributes:
        word: what the option ``--task`` calls it.
        kind: key of the catalogue with its kind in words, such as "language model".
        reads_text: whether what it reads is a text, so that one may be typed; :meth:`read` then returns a
            :class:`~compuerta.data.Text`.
        resumes: whether :meth:`learn` saves checkpoints and goes on from them. A run that is interrupted then leaves it
            fitted, with the number of ``updates`` in ``report_``.
        data_options: how a file is read: for :meth:`read`.
        training_options: settings of the constructor, by :meth:`from_options`.
        evaluation_options: for :meth:`evaluate`.
    """

    word: ClassVar[str] = ""
    kind: ClassVar[str] = "kind.task"
    reads_text: ClassVar[bool] = False
    resumes: ClassVar[bool] = False
    data_options: ClassVar[Sequence[Option]] = ()
    training_options: ClassVar[Sequence[Option]] = ()
    evaluation_options: ClassVar[Sequence[Option]] = ()

    report_: dict[str, Any]

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Task:
        """Set constructor arguments by name.

        Raises:
            SettingError: there is no such argument.
        """
        for name, value in params.items():
            if name not in self._names():
                raise SettingError("error.unknown_param", name=type(self).__name__, got=name,
                                   known=", ".join(self._names()))  # fmt: skip
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        default = {k: p.default for k, p in inspect.signature(type(self).__init__).parameters.items()}
        changed = {k: v for k, v in self.get_params().items() if default[k] is not v and default[k] != v}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    @property
    def fitted(self) -> bool:
        """Whether it has learnt."""
        return hasattr(self, "report_")

    def check_fitted(self) -> None:
        """Refuse to answer before it has learnt.

        Raises:
            NotFittedError: it has not.
        """
        if not self.fitted:
            raise NotFittedError("error.not_fitted", name=type(self).__name__)

    # ---- which questions it answers ---------------------------------------------------------------------------------

    @classmethod
    def answers(cls, question: str) -> bool:
        """Return whether the class answers a question, or has an ability, by the name of its method.

        >>> from compuerta.tasks import Forecaster, LanguageModel
        >>> LanguageModel.answers("generate"), Forecaster.answers("generate"), Forecaster.answers("evaluate")
        (True, False, True)
        """
        own = inspect.getattr_static(cls, question, None)
        return own is not None and own is not inspect.getattr_static(Task, question, None)

    @classmethod
    def check_answers(cls, question: str) -> None:
        """Refuse a question that the class does not answer.

        Raises:
            SettingError: it does not.
        """
        if not cls.answers(question):
            raise cls.refusal(question)

    @classmethod
    def refusal(cls, question: str) -> SettingError:
        """Return the error of a question that the class does not answer."""
        return SettingError("error.task", kind=Phrase(cls.kind), what=Phrase(f"task.cannot.{question}"))

    # ---- from a file to a model -------------------------------------------------------------------------------------

    @classmethod
    def likeness(cls, path: Named) -> float:
        """Return how surely a file is one to learn from: 0 for not at all, 1 where it can be nothing else.

        The command takes the task that answers highest. A text model, which could read anything, says 0.1.

        Raises:
            OSError: the file cannot be read.
        """
        return 0.0

    @classmethod
    def read(cls, path: Named, **options: Any) -> Any:
        """Return the data of a file, as ``fit`` takes it; ``options`` are those of ``data_options`` that were given.

        Raises:
            DataError: what is in the file cannot serve.
            OSError: it cannot be read.
        """
        raise cls.refusal("read")

    @classmethod
    def from_options(cls, **options: Any) -> Task:
        """Return the task with the settings of those ``training_options`` that were given, and the ``seed``."""
        arguments = {option.name: option.argument for option in cls.training_options}
        return cls(**{arguments.get(name, name): value for name, value in options.items()})

    def learn(self, data: Any, context: Context) -> None:
        """Learn from what :meth:`read` returned, as ``fit`` does, with progress shown and what is noted in ``context``.

        Raises:
            DataError, SettingError, DivergedError: as ``fit``.
            KeyboardInterrupt: Ctrl-C; what a task that ``resumes`` has learnt by then is kept.
        """
        raise self.refusal("learn")

    def report(self) -> Report:
        """Return how good the model was found to be when it learnt."""
        self.check_fitted()
        return Report(values=self.report_)

    def evaluate(self, data: Any, context: Context, **options: Any) -> Report:
        """Measure the model on what :meth:`read` returned, beside the figure to beat.

        Args:
            data: what to measure it on.
            context: what may be said meanwhile.
            options: those of ``evaluation_options`` that were given.

        Raises:
            DataError: the data cannot serve.
        """
        raise self.refusal("evaluate")

    def facts(self) -> dict[str, Any]:
        """Return what ``compuerta info`` prints besides sizes and settings, by key of ``cli.info.*``."""
        return {}

    def summary(self, lang: str | None = None) -> str:
        """Return a table of its layers; empty where there is none to show."""
        return ""

    def next_command(self) -> str:
        """Return the command that goes on with the fitted model; empty where none is recommended."""
        return ""

    # ---- to look at -------------------------------------------------------------------------------------------------

    @property
    def opening(self) -> str:
        """What it reads before a text, which is not shown."""
        return ""

    def in_vocabulary(self, text: Any, unknown: str = "skip") -> tuple[Any, list[Phrase]]:
        """Return a text as the model can read it, and notes on what was left out; all of it where nothing need be."""
        return text, []

    def traced(self, data: Any = None) -> Trace:
        """Return the trace that is looked at: of ``data``, or if None of what it learnt from, where that is kept.

        A text is read after the :attr:`opening`, whose steps are left out.

        Raises:
            NotFittedError, DataError: it cannot read.
        """
        raise self.refusal("traced")

    def page_reading(self, data: Any = None) -> Reading:
        """Return what a page shows of it while it reads ``data`` unchanged, without :attr:`opening`."""
        return Reading(self.traced(data))

    def drawing(self) -> Drawing:
        """Return the picture of what was learnt, which ``train --plot`` draws."""
        raise self.refusal("drawing")

    # ---- to carry into other formats --------------------------------------------------------------------------------

    def network(self) -> Layer | None:
        """Return the one network that is all that the task computes, for formats that hold layers only; else None.

        Raises:
            NotFittedError: it has not learnt.
        """
        return None

    def networks(self) -> Sequence[Layer]:
        """Return all its networks."""
        only = self.network()
        return [] if only is None else [only]

    def graph(self, graph: GraphBuilder) -> None:
        """Add all that the task computes to a graph of ONNX; for those that are more than one :meth:`network`.

        The parameters of its networks keep their names, under the prefixes of :meth:`blank_parts`.
        """
        raise self.refusal("graph")

    def graph_runs(self) -> Iterator[tuple[Mapping[str, Array], Array]]:
        """Yield inputs of :meth:`graph` by name and the first output that the task computes of them, as a proof."""
        return iter(())

    # ---- one file; see compuerta.interop ----------------------------------------------------------------------------

    @abstractmethod
    def to_file(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return tensors and JSON values from which :meth:`from_file` makes an equal task."""

    @classmethod
    @abstractmethod
    def from_file(cls, tensors: dict[str, Array], content: dict[str, Any], path: str) -> Task:
        """Return the task that :meth:`to_file` described; ``path`` is for messages."""

    @classmethod
    def blank_parts(cls, content: dict[str, Any], path: str) -> dict[str, Layer]:
        """Return its networks without their weights, by the prefix that their parameters have among the tensors.

        As it stands, for one network that ``content["model"]`` describes by name and config.
        """
        name, config = content["model"]
        return {"": build(name, config, path)}


def task_of(model: object) -> Task | None:
    """Return a model if it is a task, to be asked; None for a layer or anything else."""
    return model if isinstance(model, Task) else None


def network_of(model: object) -> Layer | None:
    """Return the layer that a layer or a task computes with; None where a task is more than one, or it is neither.

    Raises:
        NotFittedError: the task has not learnt.
    """
    if isinstance(model, Task):
        return model.network()
    return model if isinstance(model, Layer) else None


def networks_of(model: Layer | Task) -> Sequence[Layer]:
    """Return all the networks of a task; a layer is its only one.

    Raises:
        NotFittedError: the task has not learnt.
    """
    return [model] if isinstance(model, Layer) else model.networks()


def build(name: str, config: dict[str, Any], path: str) -> Layer:
    """Return a layer from its class name and config, by a fixed list of classes: a file cannot name anything else.

    Raises:
        FileFormatError: the class is not one of ours.
        Exception: the config does not fit it, in whatever way; ``load`` reports that about the file.
    """
    if name == "Sequential":
        return Sequential(*(build(kind, inner, path) for kind, inner in config["layers"]))
    if name not in LAYERS:
        raise FileFormatError("error.file.unknown_class", path=path, got=repr(name))
    takes_rng = "rng" in inspect.signature(LAYERS[name]).parameters
    return LAYERS[name](**config, **({"rng": Blank()} if takes_rng else {}))


def fill(layer: Layer, tensors: dict[str, Array], path: str, prefix: str = "") -> None:
    """Write the tensors named ``prefix...`` into a layer's parameters; a missing, extra or misshapen one is named.

    Raises:
        FileFormatError: the tensors are not those of this layer.
    """
    names = {prefix + name: name for name in layer.parameters}
    present = {name for name in tensors if name.startswith(prefix)}

    def refuse(name: str, expected: object, got: object) -> FileFormatError:
        return FileFormatError("error.file.tensor", path=path, name=name, expected=expected, got=got)

    for full in sorted(present ^ set(names)):
        if full in present:
            raise refuse(full, Phrase("word.absent"), tensors[full].shape)
        raise refuse(full, layer.parameters.shapes[names[full]], Phrase("word.nothing"))
    for full, name in names.items():
        mine, theirs = layer.parameters[name], tensors[full]
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            raise refuse(full, f"{mine.dtype} {mine.shape}", f"{theirs.dtype} {theirs.shape}")
        layer.parameters[name] = theirs
