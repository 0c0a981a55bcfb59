"""A language model over characters: train it on a text, let it write, ask it how surprised it is."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import checks, files
from ..data import Text, Vocabulary
from ..data.source import Named
from ..data.text import UNKNOWN
from ..errors import Count, DataError, Phrase, SettingError, Share
from ..layers import GRU, LSTM, Dense, Dropout, Embedding, Recurrent, Sequential, Trace
from ..training import (
    Adam,
    Callback,
    Checkpoint,
    Constant,
    Cosine,
    EarlyStopping,
    Progress,
    Schedule,
    TextStreams,
    Trainer,
    cross_entropy,
    load_checkpoint,
)
from .answers import Context, Drawing, Option, Reading, Report
from .base import Array, Task, fill
from .characters import LN2, bits_per_char, draw

#: Characters of the validation split that are watched in training, in stretches of this length, and scored at its end.
_WATCHED, _WATCHED_STRETCH, _SCORED = 20_000, 400, 250_000
#: Updates where none are asked for, and of a short text passes over it and the fewest updates.
_UPDATES, _PASSES, _FEWEST = 2000, 20, 150
#: Share of the windows that begin from the start state, from which a text is written and scored.
_RESTARTS = 0.06
#: Updates over which the loss on the training text is averaged.
_NEAR = 20
#: Bits by which the validation split is worse than the training text where a model begins to learn it by heart.
_GAP = 0.3


class LanguageModel(Task):
    """Predict the next character of a text from all before it.

    An embedding, one or more recurrent layers and a linear layer to the logits of the vocabulary; trained with
    truncated backpropagation through time on parallel streams of the text, the state carried along.

    Args:
        hidden_size: H, units of each recurrent layer.
        num_layers: L.
        embedding_size: K, numbers for each character.
        cell: "lstm" or "gru".
        dropout: share of the values zeroed in training, between layers and before the output.
        batch_size: streams that are read in parallel; fewer where the text is too short.
        steps: T, steps of one window, over which gradients flow; fewer where the text is too short.
        updates: how many updates to train at most; if None and there are no ``minutes`` either 2,000, fewer where that
            would read a short text more than 20 times.
        minutes: how long to train at most, the measuring included; None for no limit.
        learning_rate: of Adam.
        schedule: "cosine" (after a short warm-up down to zero at the end) or "constant".
        clip: largest global norm of the gradient.
        validation: share of the text, at its end, that is never trained on. The weights that are kept are those which
            did best there; without it, the last.
        patience: validations without improvement after which training stops early; None to go on to the end.
        seed: of weights, dropout and everything else that is random.
        dtype: "float32" or "float64".

    Attributes:
        vocabulary_: the :class:`~compuerta.data.Vocabulary` of the text.
        model_: the network, a :class:`~compuerta.layers.Sequential`.
        report_: what is known of the training: ``bits_per_char`` and ``unigram`` on the validation split (None
            without one), of its first ``scored_characters``; ``updates``, ``best_update`` (whose weights were kept),
            ``seconds``, ``losses`` (in nats, at most 1,000 means over equal runs of updates), ``validations``, sizes,
            ``text_sha256``.

    >>> from compuerta import LanguageModel
    >>> text = "la luna, la luz, la lana. " * 40
    >>> model = LanguageModel(hidden_size=16, embedding_size=8, batch_size=4, steps=16, updates=150, learning_rate=0.02)
    >>> _ = model.fit(text)
    >>> model.score("la luna, la luz, la lana. ") < 1.0
    True
    >>> len(model.generate("la ", 10, seed=0))
    10
    """

    word = "text"
    kind = "kind.language"
    reads_text = True
    resumes = True
    training_options: ClassVar[Sequence[Option]] = (
        Option("hidden_size", "integer", 1, 65536, default=256),
        Option("layers", "integer", 1, 64, default=1, setting="num_layers"),
        Option("embedding_size", "integer", 1, 65536, default=64),
        Option("cell", "choice", choices=("lstm", "gru"), default="lstm"),
        Option("dropout", "number", 0, 0.99, default=0.0),
        Option("batch_size", "integer", 1, 1_000_000, default=32),
        Option("steps", "integer", 1, 1_000_000, default=64),
        Option("updates", "integer", 1, 1_000_000_000),
        Option("minutes", "number", 0, 1_000_000, open_low=True),
        Option("learning_rate", "number", 0, 100, open_low=True, default=4e-3),
        Option("schedule", "choice", choices=("cosine", "constant"), default="cosine"),
        Option("clip", "number", 0, 1e9, open_low=True, default=1.0),
        Option("validation", "number", 0, 0.9, default=0.1),
        Option("patience", "integer", 1, 1_000_000, default=10),
    )
    data_options: ClassVar[Sequence[Option]] = (Option("encoding", "text"),)
    evaluation_options: ClassVar[Sequence[Option]] = (
        Option("unknown", "choice", choices=UNKNOWN, default="skip"),
        Option("all", "flag"),
    )

    def __init__(
        self,
        hidden_size: int = 256,
        num_layers: int = 1,
        embedding_size: int = 64,
        *,
        cell: str = "lstm",
        dropout: float = 0.0,
        batch_size: int = 32,
        steps: int = 64,
        updates: int | None = None,
        minutes: float | None = None,
        learning_rate: float = 4e-3,
        schedule: str = "cosine",
        clip: float | None = 1.0,
        validation: float = 0.1,
        patience: int | None = 10,
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.embedding_size = embedding_size
        self.cell = cell
        self.dropout = dropout
        self.batch_size = batch_size
        self.steps = steps
        self.updates = updates
        self.minutes = minutes
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.clip = clip
        self.validation = validation
        self.patience = patience
        self.seed = seed
        self.dtype = dtype

    # ---- training ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        text: str | Text,
        y: Any = None,
        *,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> LanguageModel:
        """Train on ``text``; its last tenth (``validation``) is the validation split, which is scored.

        Every character of the whole text is in the vocabulary, so that the validation split has none unseen.

        Args:
            text: the text, or a :class:`~compuerta.data.Text`, which takes one byte a character.
            y: ignored; there for scikit-learn's pipelines.
            callbacks: called during the run; see :mod:`compuerta.training`.
            checkpoint: a file to which the run is saved every minute and when it is interrupted.
            resume: go on from that file, to the same bits that an uninterrupted run would have reached.

        Raises:
            DataError: the text is too short, or contains half a character (a lone surrogate).
            SettingError: an argument is out of its range, or the checkpoint is of another run.
            DivergedError: the loss is no longer finite.
            KeyboardInterrupt: Ctrl-C; the model then has the best weights so far, and is usable.
        """
        started = time.perf_counter()
        share = checks.number(self.validation, "validation", low=0.0, high=0.9)
        if self.cell not in ("lstm", "gru"):
            raise SettingError("error.choice", name="cell", known="lstm, gru", got=repr(self.cell))
        if self.schedule not in ("constant", "cosine"):
            raise SettingError("error.choice", name="schedule", known="constant, cosine", got=repr(self.schedule))
        if self.updates is not None:
            checks.count(self.updates, "updates")
        if self.patience is not None:
            checks.count(self.patience, "patience")
        if resume and checkpoint is None:
            raise SettingError("error.resume_needs_checkpoint")
        if checkpoint is not None:
            files.check_writable(checkpoint)
        text = Text.of(text)
        vocabulary, ids = text.vocabulary, text.ids
        cut = len(ids) - int(share * len(ids))
        steps = min(checks.count(self.steps, "steps"), max(1, (cut - 1) // 2))
        batch_size = min(checks.count(self.batch_size, "batch_size"), max(1, (cut - 1) // steps))
        source = TextStreams(ids[:cut], batch_size, steps, restarts=_RESTARTS)
        rng = checks.generator(self.seed, "LanguageModel")
        model = self._network(vocabulary.size, rng)
        report: dict[str, Any] = {
            "characters": len(ids),
            "train_characters": cut,
            "batch_size": batch_size,
            "steps": steps,
            "text_sha256": text.sha256,
            "bits_per_char": None,
            "unigram": _unigram_bits(text[:cut].counts(), text[cut:].counts()),
        }
        held = ids[cut : cut + _SCORED]
        report["scored_characters"] = len(held)
        watched = held[:_WATCHED] if len(held) > 1 else None

        def validate() -> float:
            assert watched is not None
            return bits_per_char(model, watched, stretch=_WATCHED_STRETCH)

        updates, minutes = self._updates(source.windows), self.minutes
        stopper = EarlyStopping(self.patience)
        callbacks = [*callbacks, stopper]
        if checkpoint is not None:
            content = {"settings": self.get_params(), "text": report["text_sha256"]}
            callbacks.append(Checkpoint(checkpoint, source, extra=content))
        trainer = Trainer(
            model, cross_entropy, Adam(), learning_rate=self.learning_rate, schedule=self._schedule(updates),
            clip=self.clip, rng=rng, callbacks=callbacks,
        )  # fmt: skip
        if resume and checkpoint is not None:
            arrays, content = load_checkpoint(checkpoint)
            self._same_run(content["extra"], report["text_sha256"])
            trainer.restore(arrays, content["training"], source)
        if minutes is not None and watched is not None:
            held, minutes = self._in_time(held, watched, validate, started)
            report["scored_characters"] = len(held)
        try:
            trainer.fit(
                source, updates, minutes=minutes, validate=None if watched is None else validate,
                every=_every(updates, 0 if watched is None else len(watched)),
            )  # fmt: skip
            if watched is not None:
                report["bits_per_char"] = bits_per_char(model, held)
        except KeyboardInterrupt:
            if trainer.update:
                self._keep(vocabulary, model, report, trainer, stopper)
            raise
        self._keep(vocabulary, model, report, trainer, stopper)
        return self

    def _updates(self, windows: int) -> int | None:
        """Return how many updates to train at most, ``windows`` of which read the text once; None if time decides."""
        if self.updates is not None or self.minutes is not None:
            return self.updates
        return min(_UPDATES, max(_FEWEST, _PASSES * windows))

    def _schedule(self, updates: int | None) -> Schedule:
        """Return the schedule; of a cosine a twentieth of the updates, but at most 100, warm up."""
        warmup = min(100, (_UPDATES if updates is None else updates) // 20)
        return Cosine(warmup) if self.schedule == "cosine" else Constant()

    def _in_time(
        self, held: NDArray[np.integer[Any]], watched: NDArray[np.integer[Any]], validate: Callable[[], float],
        started: float,
    ) -> tuple[NDArray[np.integer[Any]], float]:  # fmt: skip
        """Return as much of ``held`` as a tenth of the time allows to score, and the minutes left for training."""
        assert self.minutes is not None
        whole = 60 * checks.number(self.minutes, "minutes", low=0.0, open_low=True)
        before = time.perf_counter()
        validate()
        each = (time.perf_counter() - before) / len(watched)
        held = held[: max(len(watched), int(0.1 * whole / each))]
        left = whole - (time.perf_counter() - started) - each * len(held)
        return held, max(left, 0.1 * whole) / 60

    def _keep(
        self, vocabulary: Vocabulary, model: Sequential, report: dict[str, Any], trainer: Trainer,
        stopper: EarlyStopping,
    ) -> None:  # fmt: skip
        """Become what was trained; until then a task that was fitted before stays what it was."""
        report["updates"], report["seconds"] = trainer.update, round(trainer.seconds, 3)
        validated = math.isfinite(stopper.best)
        report["best_update"] = stopper.best_update if validated else trainer.update
        # What the training text costs at the weights that were kept, beside what the validation split does.
        near = trainer.losses[max(0, report["best_update"] - _NEAR) : report["best_update"] + 1]
        report["train_bits"] = float(np.mean(near)) / LN2 if near else None
        report["validation_bits"] = stopper.best if validated else None
        report["stopped_early"] = stopper.stopped_early
        report["losses"] = _thinned(trainer.losses)
        report["validations"] = trainer.validations
        self.vocabulary_, self.model_, self.report_ = vocabulary, model, report

    def _network(self, size: int, rng: np.random.Generator) -> Sequential:
        cell = LSTM if self.cell == "lstm" else GRU
        drop = [Dropout(self.dropout, dtype=self.dtype)] if self.dropout else []
        return Sequential(
            Embedding(size, self.embedding_size, dtype=self.dtype, rng=rng),
            cell(
                self.embedding_size, self.hidden_size, self.num_layers, dropout=self.dropout, dtype=self.dtype, rng=rng
            ),
            *drop,
            Dense(self.hidden_size, size, dtype=self.dtype, rng=rng),
        )

    def _same_run(self, extra: dict[str, Any], text: str) -> None:
        """Refuse a checkpoint of other settings or another text; more updates or minutes may be asked for."""
        theirs = extra.get("settings", {})
        mine = self.get_params()
        different = [f"{k}: {theirs.get(k)} ≠ {v}" for k, v in mine.items()
                     if k not in ("updates", "minutes") and k in theirs and theirs[k] != v]  # fmt: skip
        if self.schedule == "cosine":
            different += [
                f"{k}: {theirs.get(k)} ≠ {mine[k]}" for k in ("updates", "minutes") if theirs.get(k) != mine[k]
            ]
        if extra.get("text") != text:
            different.append("text")
        if different:
            raise SettingError("error.resume_differs", differences="; ".join(different))

    # ---- what it knows ----------------------------------------------------------------------------------------------

    def score(self, text: str | Text, y: Any = None, *, clamp: Mapping[Any, float] | None = None) -> float:
        """Return the surprise at ``text`` in bits per character: lower is better, 0 is certainty.

        The mean of −log2 p(character | all before it), over all but the first. Long texts are scored as up to 64
        stretches side by side, each warmed up with the 128 characters before it. ``clamp`` holds units at a value, see
        :meth:`compuerta.LSTM.forward`: what the score loses by it is what they were good for.

        Raises:
            DataError: a character is not in the vocabulary, or there are fewer than two.
            SettingError: ``clamp`` names what is not there.
        """
        self.check_fitted()
        ids = self.vocabulary_.encode(text)
        if len(ids) < 2:
            raise DataError("error.text.too_short_to_score", got=len(ids))
        return bits_per_char(self.model_, ids, clamp)

    def score_unigram(self, text: str | Text) -> float:
        """Return the bits per character of the letter frequencies of ``text`` itself: the figure to beat."""
        counts = Text.of(text).counts()
        return _unigram_bits(counts[counts > 0], counts[counts > 0]) or 0.0

    def in_vocabulary(self, text: str | Text, unknown: str = "skip") -> tuple[Text, list[Phrase]]:
        """Return ``text`` with characters of the vocabulary alone, and notes on how many others there were.

        Args:
            text: what is to be read.
            unknown: what becomes of a character that is not in the vocabulary: ``"skip"``, ``"replace"`` or
                ``"refuse"``, see :meth:`compuerta.data.Vocabulary.encode`.

        Raises:
            DataError: there is one, and it was to be refused.
            SettingError: ``unknown`` is none of the three.

        >>> model = LanguageModel(updates=1, hidden_size=2, batch_size=1, steps=4).fit("la luna, la luz. " * 4)
        >>> text, notes = model.in_vocabulary("la luna?")
        >>> str(text), str(notes[0])
        ('la luna', "Characters that the model does not know were left out: 1 of 8 ('?').")
        """
        self.check_fitted()
        encoded = Text(self.vocabulary_.encode(text, unknown), self.vocabulary_)
        missing = self.vocabulary_.unknown(text)
        if not missing:
            return encoded, []
        some: object = ", ".join(repr(character) for character in list(missing)[:5])
        if len(missing) > 5:
            some = Phrase("word.and_more", first=some, count=len(missing) - 5)
        key = "input.skipped" if unknown == "skip" else "input.replaced"
        return encoded, [Phrase(key, count=sum(missing.values()), n=len(text), characters=some)]

    def validation_split(self, text: str | Text) -> str | Text | None:
        """Return the end of ``text`` on which training was validated, or None if it is not the text trained on."""
        self.check_fitted()
        same = Text.of(text).sha256 == self.report_["text_sha256"]
        return text[self.report_["train_characters"] :] if same else None

    # ---- answers; see Task ------------------------------------------------------------------------------------------

    @classmethod
    def likeness(cls, path: Named) -> float:
        """Return 0.1: anything could be a text, if it is nothing else."""
        return 0.1

    @classmethod
    def read(cls, path: Named, **options: Any) -> Text:
        """Return the text of a file, see :meth:`compuerta.data.Text.read`."""
        return Text.read(path, **options)

    def learn(self, data: str | Text, context: Context) -> None:
        """Train on a text, with a bar in bits per character."""
        data = Text.of(data)
        for note in data.notes:
            context.note(note)
        context.note(Phrase("cli.train.text", file=context.source, characters=Count(len(data)),
                            distinct=data.vocabulary.size, held=Share(self.validation)))  # fmt: skip
        bar = Progress(context.lang, scale=1 / LN2, name="bits")
        self.fit(data, callbacks=[*context.callbacks, bar], checkpoint=context.checkpoint, resume=context.resume)

    def report(self) -> Report:
        """Return three lines: what it read, what it kept, and how good that is beside the unigram figure.

        The last ends with the one next step that would help most.
        """
        self.check_fitted()
        report = self.report_
        return Report([Phrase(key, **values) for key, values in self._lines()],
                      {**report, "losses": report["losses"][-1:]})  # fmt: skip

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        report = self.report_
        characters, train, updates = report["characters"], report["train_characters"], report["updates"]
        held, seconds = characters - train, f"{report['seconds']:.0f}"
        yield "cli.report.read", {"characters": Count(characters), "train": Count(train), "held": Count(held)}
        best = report.get("best_update", updates)  # a file of an earlier version has no such figures
        kept = "early" if report.get("stopped_early") else "best" if report.get("validation_bits") else "last"
        yield f"cli.report.kept_{kept}", {"best": best, "updates": updates, "seconds": seconds}
        bits, unigram = report["bits_per_char"], report["unigram"]
        if bits is None:
            yield ("cli.report.not_measured" if held else "cli.report.no_held_out"), {}
            return
        scored = report.get("scored_characters", held)
        where = Phrase("cli.report.scored_first", n=Count(scored)) if scored < held else Phrase("cli.report.scored_all")
        yield "cli.report.good", {"where": where, "bits": f"{bits:.3f}", "unigram": f"{unigram:.3f}",
                                  "next": self._next_step()}  # fmt: skip

    def _next_step(self) -> Phrase:
        """Return the sentence with the one step that would help most."""
        report = self.report_
        bits, train = report["bits_per_char"], report.get("train_bits") or report["bits_per_char"]
        nothing = bits >= report["unigram"]
        overfits = report.get("stopped_early") or report.get("best_update", report["updates"]) < 0.8 * report["updates"]
        if overfits or (bits - train > _GAP and self.dropout):
            return Phrase("cli.report.nothing_text" if nothing else "cli.report.step_text", bits=f"{train:.3f}")
        if bits - train > _GAP and not nothing:
            return Phrase("cli.report.step_dropout", bits=f"{train:.3f}")
        by_time = self.minutes is not None and (self.updates is None or report["updates"] < self.updates)
        option = f"--minutes {2 * (self.minutes or 0):g}" if by_time else f"--updates {2 * report['updates']}"
        return Phrase("cli.report.nothing_longer" if nothing else "cli.report.step_longer", option=option)

    def evaluate(  # type: ignore[override]
        self, data: str | Text, context: Context, *, all: bool = False, unknown: str = "skip"
    ) -> Report:
        """Return bits per character of a text; of the text it was trained on its validation split, if not ``all``."""
        for note in Text.of(data).notes:
            context.note(note)
        split = self.validation_split(data)
        if split is not None and not all:
            context.note(Phrase("cli.evaluate.held_out", share=Share(len(split) / len(data))))
            data = split
        elif split is not None:
            context.note(Phrase("cli.evaluate.trained_on"))
        data, notes = self.in_vocabulary(data, unknown)
        for note in notes:
            context.note(note)
        bits = self.score(data)
        validated = split is not None and not all
        unigram = self.report_["unigram"] if validated else self.score_unigram(data)
        values = {"bits_per_char": bits, "unigram": unigram, "characters": len(data)}
        return Report(_bits_lines(bits, unigram, "" if validated else "_here"), values)

    def facts(self) -> dict[str, Any]:
        """Return the vocabulary."""
        self.check_fitted()
        return {"vocabulary": f"{self.vocabulary_.size}: {self.vocabulary_.characters!r}"}

    def summary(self, lang: str | None = None) -> str:
        """Return the table of the network's layers."""
        self.check_fitted()
        return self.model_.summary(lang)

    def next_command(self) -> str:
        """Return "generate"."""
        return "generate"

    @property
    def opening(self) -> str:
        """A line break, where it knows one: a text is read as from the beginning of a line."""
        self.check_fitted()
        return "\n" if "\n" in self.vocabulary_ else ""

    def traced(self, data: str | None = None) -> Trace:
        """Return the trace along a text, read after the opening; its steps are numbered as the text's characters."""
        self.check_fitted()
        text = data or ""
        self.vocabulary_.encode(text)  # alone, so that an error names the place in the text as it was given
        before = self.opening
        trace = self.trace(before + text).select(steps=slice(len(before), None))
        return trace.with_labels(steps=np.arange(len(text)))

    def page_reading(self, data: str | None = None) -> Reading:
        """Return the trace along a text."""
        return Reading(self.trace(data or ""))

    def drawing(self) -> Drawing:
        """Return the training curve in bits per character."""
        self.check_fitted()
        report = self.report_
        return Drawing("training", {"losses": report["losses"], "updates": report["updates"],
                                    "validations": report["validations"], "scale": 1 / LN2,
                                    "unit": Phrase("plot.bits")})  # fmt: skip

    def network(self) -> Sequential:
        """Return the network, without the vocabulary."""
        self.check_fitted()
        return self.model_

    # ---- writing ----------------------------------------------------------------------------------------------------

    def generate(
        self,
        prompt: str = "",
        n: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop: str | None = None,
        clamp: Mapping[Any, float] | None = None,
    ) -> str:
        """Return ``n`` characters that go on from ``prompt`` (which is not repeated).

        Args:
            prompt: read first; if empty, the model starts as at a line's beginning.
            n: how many characters to write.
            temperature: below 1 safer, above 1 wilder; 0 takes the likeliest each time.
            top_k: choose among the k likeliest only.
            top_p: choose among the likeliest that together reach this probability (Holtzman et al. 2020).
            seed: of the draws; None for another text each time.
            stop: end before the first of these characters.
            clamp: hold units at a value while it writes, see :meth:`compuerta.LSTM.forward`.

        Raises:
            DataError: a character of the prompt is not in the vocabulary.
            SettingError: an argument is out of its range.
            NonFiniteError: the model's scores of the next character are NaN or infinite, so none can be drawn.
        """
        self.check_fitted()
        checks.count(n, "n", low=0)
        checks.number(temperature, "temperature", low=0.0)
        if top_k is not None:
            checks.count(top_k, "top_k")
        if top_p is not None:
            checks.number(top_p, "top_p", low=0.0, high=1.0, open_low=True)
        ends = set(self.vocabulary_.encode(stop, unknown="skip").tolist()) if stop else set()
        rng = checks.generator(seed, "generate")
        start = self.vocabulary_.encode("\n", unknown="skip")
        ids = self.vocabulary_.encode(prompt) if prompt else start if len(start) else np.zeros(1, np.intp)
        *before, recurrent, after = self._parts()
        stream = recurrent.stream(clamp=clamp)
        table, w, b = before[0].parameters["w"], after.parameters["w"], after.parameters["b"]
        h = np.zeros(0)
        for k in ids:
            h = stream(table[k])
        out: list[int] = []
        for _ in range(n):
            k = draw(w @ h + b, temperature, top_k, top_p, rng)
            if k in ends:
                break
            out.append(k)
            h = stream(table[k])
        return self.vocabulary_.decode(np.array(out, np.intp))

    def trace(self, text: str, *, clamp: Mapping[Any, float] | None = None) -> Trace:
        """Return every gate of every recurrent layer while the model reads ``text``: ``trace["f", 0]`` is (1, T, H).

        ``trace.y`` holds the logits (1, T, V) of the character after each; ``clamp`` holds units at a value, see
        :meth:`compuerta.LSTM.forward`.

        Raises:
            DataError: a character is not in the vocabulary.
            SettingError: ``clamp`` names what is not there.
        """
        self.check_fitted()
        _, trace = self.model_.trace(self.vocabulary_.encode(text)[None], clamp=clamp)
        return trace.with_labels(text=text, labels=list(text), vocabulary=self.vocabulary_.characters)

    def _parts(self) -> tuple[Embedding, Recurrent, Dense]:
        """Return the three layers that matter when nothing is trained."""
        embedding, recurrent, dense = (layer for layer in self.model_.layers if not isinstance(layer, Dropout))
        assert isinstance(embedding, Embedding)
        assert isinstance(recurrent, Recurrent)
        assert isinstance(dense, Dense)
        return embedding, recurrent, dense

    # ---- one file ---------------------------------------------------------------------------------------------------

    def to_file(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return tensors and JSON values; see :func:`compuerta.save`."""
        self.check_fitted()
        content = {
            "settings": self.get_params(),
            "vocabulary": self.vocabulary_.characters,
            "report": self.report_,
            "model": [self.model_.name, self.model_.config()],
        }
        return dict(self.model_.parameters), content

    @classmethod
    def from_file(cls, tensors: dict[str, Array], content: dict[str, Any], path: str) -> LanguageModel:
        """Return the model of a file; see :func:`compuerta.load`."""
        task = cls(**content["settings"])
        model = cls.blank_parts(content, path)[""]
        assert isinstance(model, Sequential)
        fill(model, tensors, path)
        task.model_, task.vocabulary_, task.report_ = model, Vocabulary(content["vocabulary"]), content["report"]
        return task


def _unigram_bits(train: NDArray[np.integer[Any]], test: NDArray[np.integer[Any]]) -> float | None:
    """Return the bits per character of a text under the letter frequencies of another, each count one more than seen.

    Args:
        train, test: (V,) how often each character comes in the two.
    """
    if not test.sum():
        return None
    frequencies = (train + 1.0) / (train + 1.0).sum()
    return float(-(test * np.log2(frequencies)).sum() / test.sum())


def _bits_lines(bits: float, unigram: float, where: str = "") -> list[Phrase]:
    """Return one figure of bits per character beside the unigram figure, and where that is better the sentence on it.

    ``where`` ends the keys of the sentences: "" for the validation split, "_here" for a text as a whole.
    """
    lines = [
        Phrase(f"cli.report.bits{where}", bits=f"{bits:.3f}"),
        Phrase(f"cli.report.unigram{where}", bits=f"{unigram:.3f}"),
    ]
    return [*lines, Phrase("cli.report.unigram_wins")] if bits >= unigram else lines


def _every(updates: int | None, watched: int) -> int:
    """Return how many updates lie between validations of ``watched`` characters, a twentieth of the time."""
    often = max(5, watched // 200)
    return often if updates is None else max(1, min(often, updates // 4))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _thinned(losses: list[float], most: int = 1000) -> list[float]:
    """Return at most ``most`` means over equal runs of updates, so that a long run does not swell its file."""
    run = -(-len(losses) // most)
    return [round(float(np.mean(losses[k : k + run])), 6) for k in range(0, len(losses), run)] if losses else []
