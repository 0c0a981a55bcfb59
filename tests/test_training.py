"""The trainer: it learns, repeats itself to the bit, stops where it should, says where it broke, and can be resumed."""

import copy
import functools
import json
import math
import os
import pickle
import signal
import stat
import threading
import time

import numpy as np
import pytest

from compuerta import files, recurrence
from compuerta.errors import DataError, DivergedError, FileFormatError, SettingError, ShapeError
from compuerta.layers import GRU, LSTM, Dense, Dropout, Embedding, Last, Sequential
from compuerta.training import (
    SGD,
    Adam,
    AdamW,
    Callback,
    Checkpoint,
    Cosine,
    EarlyStopping,
    Progress,
    Shuffled,
    Steps,
    TextStreams,
    Trainer,
    absolute_error,
    cross_entropy,
    load_checkpoint,
    quantile_loss,
    squared_error,
)


def text_model(dropout=0.0, seed=1, dtype="float32", hidden=12):
    rng = np.random.default_rng(seed)
    return Sequential(
        Embedding(7, 5, dtype=dtype, rng=rng),
        LSTM(5, hidden, 2, dropout=dropout, dtype=dtype, rng=rng),
        Dropout(dropout, dtype=dtype),
        Dense(hidden, 7, dtype=dtype, rng=rng),
    )


def ids(length=301, seed=2):
    """A text in which the next token depends on the last two, with some noise."""
    rng = np.random.default_rng(seed)
    out = [0, 1]
    while len(out) < length:
        out.append(int(rng.integers(7)) if rng.random() < 0.1 else (2 * out[-1] + out[-2] + 1) % 7)
    return np.array(out)


def regression(seed=3, n=40):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6, 2)).astype(np.float32)
    return x, x[:, :1, :1] - x[:, -1:, 1:]


def regression_model(seed=4):
    rng = np.random.default_rng(seed)
    return Sequential(GRU(2, 8, rng=rng), Last(), Dropout(0.2), Dense(8, 1, rng=rng))


class Act(Callback):
    """Do something after one update."""

    def __init__(self, update, action):
        self.update, self.action = update, action

    def updated(self, trainer):
        if trainer.update == self.update:
            self.action(trainer)


def press(trainer):
    raise KeyboardInterrupt


def same(first, second):
    """Whether two trainers stand at the same bits."""
    np.testing.assert_array_equal(first.model.parameters.flat, second.model.parameters.flat)
    assert first.losses == second.losses
    assert first.update == second.update
    assert first.optimizer.updates == second.optimizer.updates
    assert first.optimizer.arrays.keys() == second.optimizer.arrays.keys()
    for name, array in first.optimizer.arrays.items():
        np.testing.assert_array_equal(array, second.optimizer.arrays[name])
    assert first.validations == second.validations
    assert first.rng.bit_generator.state == second.rng.bit_generator.state
    assert first.learning_rate == second.learning_rate


# ---- it learns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.9), Adam, AdamW])
def test_it_learns_the_rule_of_a_text(optimizer):
    trainer = Trainer(
        text_model(hidden=24), cross_entropy, optimizer(), clip=1.0, rng=0,
        learning_rate=0.3 if optimizer not in (Adam, AdamW) else 0.02,
    )  # fmt: skip
    losses = trainer.fit(TextStreams(ids(2001), 8, 20), 200)
    assert len(losses) == 200
    assert losses[0] == pytest.approx(math.log(7), abs=0.2)
    assert np.mean(losses[-10:]) < 1.0  # the noise alone is worth 0.1·ln 7 + H(0.1), about 0.5


def test_it_learns_from_padded_rows():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 7, 60)
    x = rng.normal(size=(60, 6, 1)).astype(np.float32)
    x[np.arange(6) >= lengths[:, None]] = 50.0  # padding that would shout if it were heard
    y = x[np.arange(60), lengths - 1][:, None]
    model = Sequential(LSTM(1, 8, rng=1), Last(), Dense(8, 1, rng=2))
    losses = Trainer(model, squared_error, learning_rate=0.02, clip=1.0, rng=0).fit(Shuffled(x, y, 20, lengths), 300)
    assert np.mean(losses[-6:]) < 0.1 * np.mean(losses[:3])


# ---- the same seed, the same bits -----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits():
    def run(seed):
        x, y = regression()
        trainer = Trainer(regression_model(), squared_error, learning_rate=0.01, rng=seed)
        trainer.fit(Shuffled(x, y, 16), 12)
        return trainer

    same(run(5), run(5))
    assert run(5).losses != run(6).losses
    assert run(np.random.default_rng(5)).losses == run(5).losses


def test_dropout_draws_from_the_trainers_generator_only():
    with_dropout, without = (Trainer(text_model(p), cross_entropy, rng=0) for p in (0.5, 0.0))
    for trainer in (with_dropout, without):
        trainer.fit(TextStreams(ids(), 4, 10), 3)
    assert with_dropout.losses != without.losses
    fresh = np.random.default_rng(0).bit_generator.state
    assert without.rng.bit_generator.state == fresh
    assert with_dropout.rng.bit_generator.state != fresh


# ---- the output layer and its loss at once --------------------------------------------------------------------------


def apart(predictions, targets):
    """The loss of which the trainer does not know that it can be computed together with the output layer."""
    return cross_entropy(predictions, targets)


def learnt(trainer, updates=8):
    trainer.fit(TextStreams(ids(), 4, 10), updates)
    return trainer


def alike(first, second):
    np.testing.assert_allclose(first.losses, second.losses, rtol=1e-10)
    np.testing.assert_allclose(first.model.parameters.flat, second.model.parameters.flat, rtol=1e-7, atol=1e-10)


def cross_trainer(loss=cross_entropy, model=None):
    model = text_model(0.3, dtype="float64") if model is None else model
    return Trainer(model, loss, SGD(), learning_rate=0.5, rng=0)


def test_the_output_layer_and_its_loss_at_once_are_both_one_after_the_other():
    alike(learnt(cross_trainer()), learnt(cross_trainer(apart)))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("begun", [0, 3])
def test_a_copied_trainer_trains_its_own_model(clone, begun):
    first = learnt(cross_trainer(), begun)
    second = clone(first)
    before = first.model.parameters.flat.copy()
    first_source, second_source = (TextStreams(ids(), 4, 10) for _ in range(2))
    second.fit(second_source, begun + 5)
    np.testing.assert_array_equal(first.model.parameters.flat, before)
    first.fit(first_source, begun + 5)
    same(second, first)


def test_a_trainer_follows_its_model_and_its_loss():
    trainer = learnt(cross_trainer(model=text_model(dtype="float64")), 2)
    trainer.loss = lambda predictions, targets: (1.0, np.zeros_like(predictions))
    assert learnt(trainer, 4).losses[2:] == [1.0, 1.0]
    trainer.loss, trainer.model = cross_entropy, text_model(seed=9, dtype="float64")
    batch = TextStreams(ids(), 4, 10).next(np.random.default_rng(0))
    expected, _ = cross_entropy(trainer.model(batch.x)[0], batch.y)
    assert learnt(trainer, 5).losses[-1] == pytest.approx(expected, rel=1e-12)


class Sharp(Dense):
    """An output layer with a way of its own."""

    def _run(self, x, state, lengths, record, rng):
        y, state, tape = super()._run(x, state, lengths, record, rng)
        return 3 * y, state, tape

    def _back(self, tape, dy, dstate, out):
        return super()._back(tape, 3 * dy, dstate, out)


class SharpModel(Sequential):
    def _run(self, *arguments, **more):
        y, *rest = super()._run(*arguments, **more)
        return 3 * y, *rest

    def _back(self, tape, dy, dstate, out):
        return super()._back(tape, 3 * dy, dstate, out)


@pytest.mark.parametrize("kinds", [(Sequential, Sharp), (SharpModel, Dense)], ids=["layer", "model"])
def test_a_layer_or_model_of_ones_own_is_trained_as_it_computes(kinds):
    def model():
        whole, last = kinds
        rng = np.random.default_rng(0)
        return whole(Embedding(7, 5, dtype="float64", rng=rng), LSTM(5, 6, dtype="float64", rng=rng),
                     last(6, 7, dtype="float64", rng=rng))  # fmt: skip

    alike(learnt(cross_trainer(model=model())), learnt(cross_trainer(apart, model())))


# ---- truncated backpropagation through time -------------------------------------------------------------------------


class Still(SGD):
    """An optimizer that leaves the parameters alone, so that losses can be compared with one long forward pass."""

    def step(self, parameters, gradient, learning_rate):
        self.updates += 1


@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_carried_state_is_one_long_forward(cell):
    rng = np.random.default_rng(0)
    model = Sequential(
        Embedding(7, 5, dtype="float64", rng=rng), cell(5, 6, 2, dtype="float64", rng=rng),
        Dense(6, 7, dtype="float64", rng=rng),
    )  # fmt: skip
    text, n, t = ids(3 * 47 + 1), 3, 9
    source = TextStreams(text, n, t)
    assert source.windows == 47 // 9 == 5
    trainer = Trainer(model, cross_entropy, Still(), rng=0)
    losses = trainer.fit(source, 2 * source.windows + 2)
    x, y = (part.reshape(n, 47)[:, :45] for part in (text[:-1], text[1:]))
    logits, _ = model(x)
    whole = [cross_entropy(logits[:, k : k + t], y[:, k : k + t])[0] for k in range(0, 45, t)]
    np.testing.assert_allclose(losses, [*whole, *whole, *whole[:2]], rtol=1e-12)  # each pass from a zero state
    alone = [cross_entropy(model(x[:, k : k + t])[0], y[:, k : k + t])[0] for k in range(9, 45, t)]
    assert np.abs(np.array(alone) - whole[1:]).min() > 1e-6  # without the carry they would differ


def test_gradients_stop_at_the_windows_edge():
    """The gradient of a window is that of the window alone, its initial state taken as given."""
    model, text = text_model(dtype="float64"), ids(61)
    source = TextStreams(text, 2, 10)
    trainer = Trainer(model, cross_entropy, Still(), rng=0)
    trainer.fit(source, 2)
    x, y = (part.reshape(2, 30) for part in (text[:-1], text[1:]))
    _, state = model(x[:, :10])
    z, _, tape = model.forward(x[:, 10:20], state, record=True)
    expected = model.backward(tape, cross_entropy(z, y[:, 10:20])[1]).flat
    np.testing.assert_allclose(trainer.gradient, expected, rtol=1e-10, atol=1e-14)


def test_shuffled_gives_every_row_once_a_pass_in_orders_that_differ():
    x = np.arange(10)[:, None]
    source, rng = Shuffled(x, x * 2, 4, lengths=np.arange(10)), np.random.default_rng(0)
    orders = []
    for _ in range(3):
        batches = [source.next(rng) for _ in range(source.batches)]
        assert [len(b.x) for b in batches] == [4, 4, 2]
        assert not any(b.carry for b in batches)
        for b in batches:
            np.testing.assert_array_equal(b.y, 2 * b.x)
            np.testing.assert_array_equal(b.lengths, b.x[:, 0])
        orders.append([int(v) for b in batches for v in b.x[:, 0]])
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("make", [lambda: TextStreams(ids(), 3, 7), lambda: Shuffled(*regression(), 16)])
def test_a_source_goes_to_a_position(make):
    first, rng = make(), np.random.default_rng(0)
    for _ in range(4):
        first.next(rng)
    position, state = json.loads(json.dumps(first.position())), rng.bit_generator.state
    expected = [first.next(rng) for _ in range(30)]
    second, rng = make(), np.random.default_rng(9)
    rng.bit_generator.state = state
    second.seek(position)
    for batch in expected:
        other = second.next(rng)
        np.testing.assert_array_equal(other.x, batch.x)
        np.testing.assert_array_equal(other.y, batch.y)
        assert other.carry == batch.carry


# ---- rate, clip, schedule -------------------------------------------------------------------------------------------


def test_the_update_is_clip_then_step_at_the_scheduled_rate():
    model = text_model(dtype="float64")
    expected, rates = model.parameters.flat.copy(), []
    text = TextStreams(ids(), 4, 10)
    source, rng = TextStreams(ids(), 4, 10), np.random.default_rng(0)
    trainer = Trainer(
        model, cross_entropy, SGD(), learning_rate=0.5, schedule=Steps(2, 0.1), clip=0.01, rng=0,
        callbacks=[Act(k, lambda t: rates.append(t.rate)) for k in range(1, 6)],
    )  # fmt: skip
    assert trainer.rate == 0.5
    other, state = text_model(dtype="float64"), None
    for k, rate in enumerate([0.5, 0.5, 0.05, 0.05, 0.005]):
        trainer.fit(text, k + 1)
        batch = source.next(rng)
        other.parameters.writable()[...] = expected
        y, state, tape = other.forward(batch.x, state, record=True)
        gradient = other.backward(tape, cross_entropy(y, batch.y)[1]).flat
        norm = np.linalg.norm(gradient)
        assert trainer.gradient_norm == pytest.approx(norm, rel=1e-10)
        assert norm > 0.01
        expected -= rate * gradient * 0.01 / norm
        np.testing.assert_allclose(model.parameters.flat, expected, rtol=1e-9, atol=1e-12)
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005])


@pytest.mark.parametrize("rate", [0, -1e-3, math.nan, math.inf, "0.1", None, True])
def test_a_learning_rate_out_of_range_is_refused(rate):
    with pytest.raises(SettingError, match=r"learning_rate must be a finite number > 0; got"):
        Trainer(text_model(), cross_entropy, learning_rate=rate)


@pytest.mark.parametrize("clip", [0, -1.0, math.nan, math.inf, "1"])
def test_a_clip_out_of_range_is_refused(clip):
    with pytest.raises(SettingError, match=r"clip must be a finite number > 0; got"):
        Trainer(text_model(), cross_entropy, clip=clip)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "fit needs updates or minutes"),
        ({"updates": -1}, "updates must be an integer >= 0"),
        ({"updates": 2.0}, "updates must be"),
        ({"updates": True}, "updates must be"),
        ({"minutes": 0}, "minutes must be"),
        ({"minutes": math.nan}, "minutes must be"),
        ({"updates": 1, "every": 0}, "every must be"),
    ],
)
def test_fit_refuses_before_any_update(arguments, said):
    trainer = Trainer(text_model(), cross_entropy, rng=0)
    with pytest.raises(SettingError, match=said):
        trainer.fit(TextStreams(ids(), 4, 10), **arguments)
    assert trainer.update == 0


def test_minutes_alone_need_a_constant_schedule():
    trainer = Trainer(text_model(), cross_entropy, schedule=Cosine(), rng=0)
    with pytest.raises(SettingError, match="needs updates"):
        trainer.fit(TextStreams(ids(), 4, 10), minutes=1)


def test_data_that_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"80 characters.*4 rows of 20 steps.*at least 81"):
        TextStreams(np.zeros(80, int), 4, 20)
    assert TextStreams(np.zeros(81, int), 4, 20).windows == 1
    with pytest.raises(ShapeError, match="got 3 and 4"):
        Shuffled(np.zeros((3, 1, 1)), np.zeros(4))
    with pytest.raises(ShapeError, match="got 0 and 0"):
        Shuffled(np.zeros((0, 1, 1)), np.zeros(0))
    for bad in (0, -1, 2.5, True):
        with pytest.raises(SettingError, match="batch_size"):
            TextStreams(np.zeros(81, int), bad, 20)
        with pytest.raises(SettingError, match="steps"):
            TextStreams(np.zeros(81, int), 4, bad)
        with pytest.raises(SettingError, match="batch_size"):
            Shuffled(np.zeros((3, 1, 1)), np.zeros(3), bad)


def test_labels_out_of_range_stop_before_the_update():
    model = text_model()
    before = model.parameters.flat.copy()
    trainer = Trainer(model, cross_entropy, rng=0)
    with pytest.raises(ShapeError, match=r"\[0, 7\).*got 9"):
        trainer.fit(Shuffled(np.zeros((4, 5), int), np.full((4, 5), 9), 2), 3)
    np.testing.assert_array_equal(model.parameters.flat, before)
    assert trainer.update == 0


# ---- callbacks, validation, the end ---------------------------------------------------------------------------------


class Diary(Callback):
    def __init__(self, name, book):
        self.name, self.book = name, book

    def start(self, trainer, updates, seconds):
        self.book.append((self.name, "start", trainer.update, updates, seconds))

    def updated(self, trainer):
        self.book.append((self.name, "updated", trainer.update, len(trainer.losses)))

    def validated(self, trainer, value):
        self.book.append((self.name, "validated", trainer.update, value))

    def end(self, trainer):
        self.book.append((self.name, "end", trainer.update))


def test_callbacks_are_told_in_order():
    book, values = [], iter([9.0, 5.0, 4.0])
    trainer = Trainer(text_model(), cross_entropy, rng=0, callbacks=[Diary("a", book), Diary("b", book)])
    trainer.fit(TextStreams(ids(), 4, 10), 3, validate=lambda: next(values), every=2)
    expected = [
        ("start", 0, 3, math.inf), ("validated", 0, 9.0), ("updated", 1, 1), ("validated", 2, 5.0), ("updated", 2, 2),
        ("updated", 3, 3), ("validated", 3, 4.0), ("end", 3),
    ]  # fmt: skip
    assert book == [(name, *told) for told in expected for name in "ab"]
    assert trainer.validations == [(0, 9.0), (2, 5.0), (3, 4.0)]


def test_callbacks_are_told_of_the_end_when_it_fails():
    book = []
    trainer = Trainer(text_model(), cross_entropy, rng=0, callbacks=[Diary("a", book), Act(2, press)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TextStreams(ids(), 4, 10), 5)
    assert book[-1] == ("a", "end", 2)


def test_fit_goes_on_to_a_total():
    source = TextStreams(ids(), 4, 10)
    trainer = Trainer(text_model(), cross_entropy, rng=0)
    trainer.fit(source, 2)
    assert len(trainer.fit(source, 5)) == 5
    assert len(trainer.fit(source, 5)) == 5
    whole = Trainer(text_model(), cross_entropy, rng=0)
    whole.fit(TextStreams(ids(), 4, 10), 5)
    same(trainer, whole)


def test_stop():
    trainer = Trainer(text_model(), cross_entropy, rng=0, callbacks=[Act(3, lambda t: t.stop())])
    trainer.fit(TextStreams(ids(), 4, 10), 50)
    assert trainer.update == 3


def test_time_limit():
    trainer = Trainer(text_model(), cross_entropy, rng=0)
    started = time.perf_counter()
    trainer.fit(TextStreams(ids(), 4, 10), minutes=0.2 / 60)
    assert 0.2 <= trainer.seconds < 1.5
    assert time.perf_counter() - started < 2
    assert trainer.update > 3
    done = trainer.update
    trainer.fit(TextStreams(ids(), 4, 10), minutes=0.2 / 60)  # of training in all
    assert trainer.update == done


def test_early_stopping_goes_back_to_the_start_if_nothing_was_better():
    model = text_model()
    before, values = model.parameters.flat.copy(), iter([1.0, 2.0, 2.0])
    trainer = Trainer(model, cross_entropy, rng=0, callbacks=[stopper := EarlyStopping(2)])
    trainer.fit(TextStreams(ids(), 4, 10), 9, validate=lambda: next(values), every=1)
    assert (trainer.update, stopper.best_update) == (2, 0)
    np.testing.assert_array_equal(model.parameters.flat, before)


def test_early_stopping_restores_the_best():
    kept = {}
    trainer = Trainer(
        text_model(), cross_entropy, learning_rate=0.01, rng=0,
        callbacks=[Act(k, lambda t: kept.update({t.update: t.model.parameters.flat.copy()})) for k in range(1, 20)]
        + [stopper := EarlyStopping(3, tolerance=0.01)],
    )  # fmt: skip
    #       best at 2; 1.995 is no improvement of 1 %; 3 bad ones from 3 to 5
    values = iter([4.0, 3.0, 2.0, 1.995, 2.5, 2.1, 9.9, 9.9])
    trainer.fit(TextStreams(ids(), 4, 10), 19, validate=lambda: next(values), every=1)
    assert trainer.update == 5
    assert (stopper.best, stopper.best_update) == (2.0, 2)
    np.testing.assert_array_equal(trainer.model.parameters.flat, kept[2])
    assert np.abs(kept[5] - kept[2]).max() > 0


def test_early_stopping_reduces_the_rate_from_the_best_weights():
    kept, rates = {}, {}

    class Keep(Callback):
        def updated(self, trainer):
            kept[trainer.update], rates[trainer.update] = trainer.model.parameters.flat.copy(), trainer.rate

    before = {}

    class Before(Callback):
        def validated(self, trainer, value):
            before[trainer.update] = trainer.model.parameters.flat.copy()

    trainer = Trainer(text_model(), cross_entropy, learning_rate=0.01, rng=0,
                      callbacks=[Keep(), EarlyStopping(2, reductions=1), Before()])  # fmt: skip
    values = iter([1.5, 1.0, 2.0, 2.0, 2.0, 0.5, 2.0, 2.0, 2.0])
    trainer.fit(TextStreams(ids(), 4, 10), 19, validate=lambda: next(values), every=1)
    np.testing.assert_array_equal(before[3], kept[1])  # gone back to the best
    assert [rates[k] for k in (3, 4, 7)] == pytest.approx([0.01, 0.0025, 0.0025])
    assert trainer.update == 7
    np.testing.assert_array_equal(trainer.model.parameters.flat, kept[5])


@pytest.mark.parametrize("values", [[math.nan, 2.0, 1.0, 3.0, 3.0], [math.inf, 2.0, 1.0, 3.0, 3.0]])
def test_early_stopping_outlives_a_first_figure_that_is_not_finite(values):
    given = iter(values)
    trainer = Trainer(text_model(), cross_entropy, rng=0, callbacks=[stopper := EarlyStopping(2)])
    trainer.fit(TextStreams(ids(), 4, 10), 5, validate=lambda: next(given), every=1)
    assert (stopper.best, stopper.best_update) == (1.0, 2)


@pytest.mark.parametrize("arguments", [{"patience": 0}, {"reductions": -1}, {"tolerance": -1.0}, {"patience": 1.5}])
def test_early_stopping_refuses(arguments):
    with pytest.raises(SettingError):
        EarlyStopping(**arguments)


@pytest.mark.parametrize("lang", ["en", "es"])
def test_progress_tells_loss_and_held_out_on_stderr(lang, capsys):
    trainer = Trainer(text_model(), cross_entropy, rng=0, callbacks=[Progress(lang, name="bits", label="1/2")])
    trainer.fit(TextStreams(ids(), 4, 10), 4, validate=lambda: 1.25, every=2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err
    assert "1/2" in err
    assert "bits 1.9" in err
    assert {"en": "held out 1.250", "es": "prueba 1.250"}[lang] in err.replace("held-out", "held out")


# ---- a loss that is not finite --------------------------------------------------------------------------------------


def diverged(model, source, loss=cross_entropy, updates=50, **more):
    trainer = Trainer(model, loss, rng=0, **more)
    kept = []

    class Keep(Callback):
        def start(self, trainer, updates, seconds):
            kept.append(trainer.model.parameters.flat.copy())

        def updated(self, trainer):
            kept.append(trainer.model.parameters.flat.copy())

    trainer.callbacks = [Keep()]
    with pytest.raises(DivergedError) as caught:
        trainer.fit(source, updates)
    np.testing.assert_array_equal(model.parameters.flat, kept[-1])  # those before that update
    assert isinstance(caught.value, ArithmeticError)
    assert "{" not in caught.value.told("es")
    assert "gate " not in caught.value.told("es")
    assert f"at update {trainer.update + 1} " in str(caught.value)
    assert all(math.isfinite(value) for value in trainer.losses)
    return trainer, str(caught.value)


def test_nan_in_the_inputs_is_found():
    x, y = regression()
    x[17, 4, 1] = np.nan
    model = Sequential(GRU(2, 8, rng=0), Last(), Dense(8, 1, rng=1))
    trainer, said = diverged(model, Shuffled(x, y, 8), squared_error)
    assert trainer.update < 5  # in the first pass
    assert "it began in the inputs[" in said
    assert ", 4, 1] = nan" in said


def test_nan_in_a_parameter_is_found():
    model = text_model()
    w = model.parameters["1.w_h_l1"].copy()
    w[3, 5] = np.nan
    model.parameters["1.w_h_l1"] = w
    trainer, said = diverged(model, TextStreams(ids(), 4, 10))
    assert trainer.update == 0
    assert "parameter 1.w_h_l1[3, 5] = nan" in said


@pytest.mark.parametrize("loss", [squared_error, absolute_error])
def test_nan_in_the_targets_is_the_loss_itself(loss):
    x, y = regression()
    y[0] = np.nan
    _, said = diverged(regression_model(), Shuffled(x, y, 40), loss)
    assert "it began in the loss itself" in said


def overflowing(layer, end, block, unit):
    """Make one gate of one unit inf - inf wherever an input of 100 comes after a step with an output.

    All parameters and inputs are finite: the inputs' part of the sum overflows to one side, the recurrent part to the
    other, which it does wherever the outputs before are near 0.8. The NumPy engine adds the two; the native one goes
    on from the first to the second, and past an infinity no finite product leads back.
    """
    hidden = layer.hidden_size
    w_x, w_h = (np.zeros(layer.parameters.shapes[name + end], np.float32) for name in ("w_x", "w_h"))
    b = np.repeat(np.array([30.0, -30.0, 30.0, 30.0], np.float32), hidden)  # i, f, g, o: h = tanh(1) at every step
    w_x[block * hidden + unit], w_h[block * hidden + unit] = 3e38, -3e38
    layer.parameters["w_x" + end], layer.parameters["w_h" + end], layer.parameters["b" + end] = w_x, w_h, b


def test_the_gate_and_the_step_are_found(numpy_engine):
    model = Sequential(Dense(2, 2, rng=3), LSTM(2, 5, rng=0), Dense(5, 1, rng=2))
    model.layers[0].parameters["w"] = np.eye(2)
    overflowing(model.layers[1], "_l0", 1, 2)
    x = np.zeros((3, 6, 2), np.float32)
    x[:, 4] = 100.0
    x[:, 0] = 100.0  # nothing has come out before: one side only, which saturates
    _, said = diverged(model, Shuffled(x, np.zeros((3, 6, 1)), 3), squared_error)
    assert "layer 1 (LSTM), forget gate f, at step 4 of row 0" in said


def test_the_gate_is_found_in_the_direction_that_reads_from_the_end(numpy_engine):
    """It began where that direction met it first, which is the last step that is spoilt, not the first."""
    model = Sequential(LSTM(2, 5, 2, bidirectional=True, rng=0), Dense(10, 1, rng=2))
    overflowing(model.layers[0], "_l0_reverse", 2, 1)
    x = np.zeros((2, 6, 2), np.float32)
    x[:, 3] = 100.0
    _, said = diverged(model, Shuffled(x, np.zeros((2, 6, 1)), 2), squared_error)
    assert "layer 0 (LSTM), candidate g of stacked layer 0, direction 1, at step 3 of row " in said


@pytest.mark.parametrize("engine", recurrence.engines())
def test_the_gate_of_a_gru_is_found_on_every_engine(numpy_engine, engine):
    """In a GRU the two parts of the candidate meet as r ⊙ q, on every engine: of them the direction back overflows."""
    recurrence.use_engine(engine)
    model = Sequential(GRU(2, 5, bidirectional=True, rng=0), Dense(10, 1, rng=2))
    parameters, unit = model.layers[0].parameters, 10 + 3  # of the blocks r, z, n
    w_x, w_h = (np.zeros(parameters.shapes[name], np.float32) for name in ("w_x_l0_reverse", "w_h_l0_reverse"))
    w_x[unit], w_h[unit] = 3e38, -3e38
    parameters["w_x_l0_reverse"], parameters["w_h_l0_reverse"] = w_x, w_h
    parameters["b_l0_reverse"] = np.repeat([30.0, -30.0, 1.0], 5)  # r = 1, z = 0: h = tanh(1) at every step
    x = np.zeros((2, 6, 2), np.float32)
    x[:, (2, 3, 5)] = 100.0  # at 5, its first step, nothing has come out before: one side only, which saturates
    _, said = diverged(model, Shuffled(x, np.zeros((2, 6, 1)), 2), squared_error)
    assert "layer 0 (GRU), candidate n" in said
    assert "direction 1, at step 3 of row " in said


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_an_exploding_rate_is_told_and_warns_of_nothing(optimizer):
    """Warnings are errors here: overflow on the way to the end is the trainer's to tell, in one sentence."""
    x, y = regression()
    model = Sequential(Dense(2, 6, rng=0), Last(), Dense(6, 1, rng=1))
    trainer, said = diverged(model, Shuffled(x, y, 8), squared_error, optimizer=optimizer(), learning_rate=1e12)
    assert trainer.update >= 1
    assert "try a smaller learning rate or clipping" in said
    assert np.isfinite(model.parameters.flat).all()


def test_a_gradient_that_is_not_finite_is_found_and_not_applied():
    def loss(predictions, targets):
        dy = np.zeros_like(predictions)
        dy[0, 0, 0] = np.inf
        return 1.0, dy

    x, y = regression()
    _, said = diverged(regression_model(), Shuffled(x, y, 8), loss)
    assert "gradient of " in said


def test_a_long_gradient_that_is_finite_is_clipped_not_refused():
    """Its square overflows float32, it does not."""

    def loss(predictions, targets):
        return 1.0, np.full_like(predictions, 1e25)

    x, y = regression()
    trainer = Trainer(regression_model(), loss, SGD(), learning_rate=0.1, clip=1.0, rng=0)
    before = trainer.model.parameters.flat.copy()
    trainer.fit(Shuffled(x, y, 8), 1)
    assert np.linalg.norm(trainer.model.parameters.flat - before) == pytest.approx(0.1, rel=1e-3)


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


def test_ctrl_c_waits_for_the_update_and_leaves_everything_whole():
    """SIGINT arrives in the middle of an update, from the loss; the update is finished all the same."""
    calls = []

    def loss(predictions, targets):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return cross_entropy(predictions, targets)

    handler = signal.getsignal(signal.SIGINT)
    source = TextStreams(ids(), 4, 10)
    trainer = Trainer(text_model(0.3), loss, learning_rate=0.01, rng=0)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(source, 9)
    assert signal.getsignal(signal.SIGINT) is handler
    assert trainer.update == 4
    trainer.fit(source, 9)
    whole = Trainer(text_model(0.3), cross_entropy, learning_rate=0.01, rng=0)
    whole.fit(TextStreams(ids(), 4, 10), 9)
    same(trainer, whole)


def test_ctrl_c_in_the_last_validation_is_not_lost():
    def validate():
        os.kill(os.getpid(), signal.SIGINT)
        return 1.0

    trainer = Trainer(text_model(), cross_entropy, rng=0)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(TextStreams(ids(), 4, 10), 3, validate=validate, every=100)


def test_a_second_ctrl_c_interrupts_at_once():
    def loss(predictions, targets):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second one was not heard")

    with pytest.raises(KeyboardInterrupt):
        Trainer(text_model(), loss, rng=0).fit(TextStreams(ids(), 4, 10), 3)


def test_training_works_outside_the_main_thread():
    trainer = Trainer(text_model(), cross_entropy, rng=0)
    thread = threading.Thread(target=trainer.fit, args=(TextStreams(ids(), 4, 10), 3))
    thread.start()
    thread.join()
    assert trainer.update == 3


# ---- save, continue = continue --------------------------------------------------------------------------------------

RUNS = {
    "text": (lambda: text_model(0.3), cross_entropy, lambda: TextStreams(ids(), 4, 11), Adam),
    "text, AdamW": (lambda: text_model(0.0), cross_entropy, lambda: TextStreams(ids(), 3, 7), AdamW),
    "rows": (regression_model, squared_error, lambda: Shuffled(*regression(), 16), lambda: SGD(0.9, 0.01)),
    "rows, no memory": (regression_model, absolute_error, lambda: Shuffled(*regression(), 16), SGD),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("at", [1, 6, 9])
def test_a_resumed_run_equals_the_uninterrupted_one(name, at, tmp_path):
    model, loss, source, optimizer = RUNS[name]
    path = tmp_path / "run.checkpoint"

    def trainer(source, *callbacks):
        saver = Checkpoint(path, source)
        return Trainer(model(), loss, optimizer(), learning_rate=0.02, schedule=Cosine(2), clip=0.5, rng=7,
                       callbacks=[*callbacks, saver])  # fmt: skip

    a = source()
    whole = trainer(a)
    whole.fit(a, 14)
    assert not path.exists()  # nothing is left to do, so nothing is written
    b = source()
    with pytest.raises(KeyboardInterrupt):
        trainer(b, Act(at, press)).fit(b, 14)
    c = source()
    resumed = trainer(c, Callback())
    arrays, content = load_checkpoint(path)
    assert content["training"]["update"] == at
    resumed.restore(arrays, content["training"], c)
    resumed.fit(c, 14)
    same(resumed, whole)
    assert resumed.seconds > content["training"]["seconds"] > 0


@pytest.mark.parametrize("order", ["checkpoint last", "checkpoint first"])
@pytest.mark.parametrize("at", range(1, 12))
def test_a_resumed_run_with_early_stopping_equals_the_uninterrupted_one(order, at, tmp_path):
    """Interrupted before or after a validation, with the best weights behind, with a reduced rate: no difference."""
    path = tmp_path / "run.checkpoint"
    figures = {0: 4.0, 2: 3.0, 4: 2.0, 6: 2.5, 8: 2.5, 10: 2.5, 12: 1.5, 14: 2.0, 16: 2.0, 18: 2.0, 20: 2.0}

    def trainer(*callbacks):
        source = TextStreams(ids(), 4, 11)
        watch = [EarlyStopping(3, reductions=1), Checkpoint(path, source)]
        made = Trainer(text_model(0.3), cross_entropy, learning_rate=0.02, rng=7,
                       callbacks=[*(watch if order == "checkpoint last" else watch[::-1]), *callbacks])  # fmt: skip
        return made, source

    def go(made, source):
        made.fit(source, 20, validate=lambda: figures[made.update], every=2)

    whole, source = trainer(Callback())
    go(whole, source)
    assert whole.update == 18
    interrupted, source = trainer(Act(at, press))
    with pytest.raises(KeyboardInterrupt):
        go(interrupted, source)
    resumed, source = trainer(Callback())
    arrays, content = load_checkpoint(path)
    resumed.restore(arrays, content["training"], source)
    go(resumed, source)
    same(resumed, whole)


def test_a_checkpoint_in_the_middle_of_a_run_resumes_too(tmp_path):
    """Written after each update, the last one before a kill is as good as the one that Ctrl-C writes."""
    path = tmp_path / "run.checkpoint"
    copies = {}

    def validate():
        return 1.0

    source = TextStreams(ids(), 4, 11)
    whole = Trainer(text_model(0.3), cross_entropy, rng=7, callbacks=[Checkpoint(path, source, seconds=0.0)])
    for k in range(1, 7):
        whole.callbacks.append(Act(k, lambda trainer: copies.update({trainer.update: path.read_bytes()})))
    whole.fit(source, 6, validate=validate, every=2)
    for at in (1, 2, 3, 4):
        path.write_bytes(copies[at])
        source = TextStreams(ids(), 4, 11)
        resumed = Trainer(text_model(0.3), cross_entropy, rng=7, callbacks=[Checkpoint(path, source)])
        arrays, content = load_checkpoint(path)
        resumed.restore(arrays, content["training"], source)
        resumed.fit(source, 6, validate=validate, every=2)
        same(resumed, whole)


@pytest.mark.parametrize("bit_generator", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_any_generator_of_numpy_is_resumed(bit_generator, tmp_path):
    path = tmp_path / "run.checkpoint"

    def trainer(source):
        rng = np.random.Generator(getattr(np.random, bit_generator)(5))
        return Trainer(text_model(0.3), cross_entropy, rng=rng, callbacks=[Checkpoint(path, source)])

    source = TextStreams(ids(), 4, 11)
    whole = trainer(source)
    whole.fit(source, 5)
    source = TextStreams(ids(), 4, 11)
    first = trainer(source)
    first.fit(source, 3)
    first.callbacks[0].write(first)
    source = TextStreams(ids(), 4, 11)
    resumed = trainer(source)
    arrays, content = load_checkpoint(path)
    resumed.restore(arrays, content["training"], source)
    resumed.fit(source, 5)
    assert resumed.losses == whole.losses
    np.testing.assert_array_equal(resumed.model.parameters.flat, whole.model.parameters.flat)


def test_resume_with_another_setup_is_refused_and_the_differences_listed(tmp_path):
    path, source = tmp_path / "run.checkpoint", TextStreams(ids(), 4, 11)
    first = Trainer(text_model(0.3), cross_entropy, clip=1.0, rng=7)
    first.fit(source, 2)
    Checkpoint(path, source).write(first)
    arrays, content = load_checkpoint(path)
    for other, words in {
        Trainer(text_model(0.3, hidden=13), cross_entropy, clip=1.0, rng=7): ["model", "12", "13"],
        Trainer(text_model(0.0), cross_entropy, clip=1.0, rng=7): ["model", "0.3", "0.0"],
        Trainer(text_model(0.3), cross_entropy, AdamW(), clip=0.5, rng=7): ["optimizer", "AdamW", "clip", "0.5", "1.0"],
        Trainer(text_model(0.3), cross_entropy, Adam(0.8), clip=1.0, rng=7): ["optimizer", "0.8", "0.9"],
        Trainer(text_model(0.3), squared_error, clip=1.0, schedule=Cosine(), rng=7): ["loss", "schedule", "Cosine"],
    }.items():
        before = other.model.parameters.flat.copy()
        with pytest.raises(SettingError) as caught:
            other.restore(arrays, content["training"], source)
        assert "checkpoint is of another run" in str(caught.value)
        assert [word for word in words if word not in str(caught.value)] == []
        np.testing.assert_array_equal(other.model.parameters.flat, before)
        assert other.update == 0


def test_a_loss_with_arguments_is_known_again_in_another_process():
    """What a checkpoint compares must not hold an address in memory, which is another one each time."""

    def setup():
        loss = functools.partial(quantile_loss, levels=(0.1, 0.5))
        return Trainer(regression_model(), loss, schedule=Steps(3), rng=0)._setup()

    told = json.dumps(setup())
    assert "0x" not in told
    other = functools.partial(quantile_loss, levels=(0.2, 0.5))
    assert json.dumps(Trainer(regression_model(), other, schedule=Steps(3), rng=0)._setup()) != told


def test_a_model_file_is_no_checkpoint(tmp_path):
    files.write(tmp_path / "a", {"w": np.zeros(2)}, {"kind": "Layer"})
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "a")


# ---- what a checkpoint does to the disk -----------------------------------------------------------------------------


def checkpointed(path):
    source = TextStreams(ids(), 4, 11)
    trainer = Trainer(text_model(), cross_entropy, rng=7)
    trainer.fit(source, 2)
    saver = Checkpoint(path, source)
    return trainer, saver


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["write", "flush", "fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(where, error, tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    trainer, saver = checkpointed(path)
    saver.write(trainer)
    old = path.read_bytes()
    trainer.fit(saver.source, 4)

    def fail(*args):
        raise error

    if where in ("fsync", "replace"):
        monkeypatch.setattr(os, where, fail)
    else:
        opened = os.fdopen

        class Broken:
            def __init__(self, *args):
                self.file = opened(*args)

            def __enter__(self):
                return self

            def __exit__(self, *args):
                self.file.close()

            def write(self, data):
                self.file.write(data[: len(data) // 2])
                self.file.flush()
                if where == "write":
                    fail()
                self.file.write(data[len(data) // 2 :])

            def flush(self):
                fail()

            def fileno(self):
                return self.file.fileno()

        monkeypatch.setattr(os, "fdopen", Broken)
    with pytest.raises(type(error)):
        saver.write(trainer)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["run.checkpoint"]
    assert load_checkpoint(path)[1]["training"]["update"] == 2
    saver.write(trainer)
    assert load_checkpoint(path)[1]["training"]["update"] == 4


def test_an_interrupt_right_after_the_rename_leaves_the_new_file(tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    trainer, saver = checkpointed(path)
    saver.write(trainer)
    trainer.fit(saver.source, 4)
    replace = os.replace

    def then_press(*args):
        replace(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", then_press)
    with pytest.raises(KeyboardInterrupt):
        saver.write(trainer)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["run.checkpoint"]
    assert load_checkpoint(path)[1]["training"]["update"] == 4


def fit_with_checkpoint(trainer, path):
    source = TextStreams(ids(), 4, 11)
    trainer.callbacks = [Checkpoint(path, source)]
    trainer.fit(source, 3)


def obstacle(kind, path):
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        target = path.with_name("elsewhere")
        target.write_text("precious")
        path.symlink_to(target)
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("kind", ["folder", "link", "FIFO"])
def test_a_checkpoint_path_that_is_no_plain_file_is_refused_before_the_first_update(kind, tmp_path):
    path = tmp_path / "run.checkpoint"
    obstacle(kind, path)
    trainer = Trainer(text_model(), cross_entropy, rng=7)
    with pytest.raises(SettingError, match="no plain file"):
        fit_with_checkpoint(trainer, path)
    assert trainer.update == 0
    assert stat.S_IFMT(os.lstat(path).st_mode) != stat.S_IFREG
    assert kind != "link" or path.read_text() == "precious"


def test_a_checkpoint_in_a_folder_that_is_not_there_is_refused_before_the_first_update(tmp_path):
    trainer = Trainer(text_model(), cross_entropy, rng=7)
    with pytest.raises(FileNotFoundError):
        fit_with_checkpoint(trainer, tmp_path / "no" / "run.checkpoint")
    assert trainer.update == 0


def test_a_second_ctrl_c_does_not_write_a_half_done_update(tmp_path):
    """The optimizer is stopped between two blocks: what stands in memory is no state that a run passes through."""
    path = tmp_path / "run.checkpoint"

    class Half(SGD):
        def step(self, parameters, gradient, learning_rate):
            half = len(parameters) // 2
            if self.updates < 2:
                super().step(parameters, gradient, learning_rate)
                return
            parameters[:half] -= learning_rate * gradient[:half]
            raise KeyboardInterrupt

    source = TextStreams(ids(), 4, 11)
    whole = Trainer(text_model(), cross_entropy, Half(), learning_rate=0.1, rng=7)
    whole.fit(source, 2)
    last_whole = whole.model.parameters.flat.copy()
    source = TextStreams(ids(), 4, 11)
    trainer = Trainer(text_model(), cross_entropy, Half(), learning_rate=0.1, rng=7,
                      callbacks=[Checkpoint(path, source, seconds=0.0)])  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(source, 9)
    arrays, content = load_checkpoint(path)
    assert content["training"]["update"] == 2
    np.testing.assert_array_equal(arrays["parameters"], last_whole)
