"""The trainer: it learns, repeats itself to the bit, steps as it says, and stops where it should."""

import copy
import itertools
import math
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

from compuerta.errors import SettingError, ShapeError
from compuerta.layers import LSTM, Dense, Embedding, Last, Sequential
from compuerta.training import (
    SGD,
    Adam,
    AdamW,
    Callback,
    Constant,
    Cosine,
    Shuffled,
    Steps,
    TextStreams,
    Trainer,
    cross_entropy,
    squared_error,
)
from small_runs import Act, ids, regression, regression_model, same, text_model

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

    def run(self, x, state, lengths, record, rng, clamps=None):
        y, state, tape = super().run(x, state, lengths, record, rng, clamps)
        return 3 * y, state, tape

    def back(self, tape, dy, dstate, out):
        return super().back(tape, 3 * dy, dstate, out)


class SharpModel(Sequential):
    def run(self, *arguments, **more):
        y, *rest = super().run(*arguments, **more)
        return 3 * y, *rest

    def back(self, tape, dy, dstate, out):
        return super().back(tape, 3 * dy, dstate, out)


@pytest.mark.parametrize("kinds", [(Sequential, Sharp), (SharpModel, Dense)], ids=["layer", "model"])
def test_a_layer_or_model_of_ones_own_is_trained_as_it_computes(kinds):
    def model():
        whole, last = kinds
        rng = np.random.default_rng(0)
        return whole(Embedding(7, 5, dtype="float64", rng=rng), LSTM(5, 6, dtype="float64", rng=rng),
                     last(6, 7, dtype="float64", rng=rng))  # fmt: skip

    alike(learnt(cross_trainer(model=model())), learnt(cross_trainer(apart, model())))


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


def test_a_schedule_goes_by_the_share_of_the_time(monkeypatch):
    """Every look at the clock is a second later: an update takes two, so that there are ten in twenty seconds."""
    clock = itertools.count()
    monkeypatch.setattr("compuerta.training.trainer.time.perf_counter", lambda: float(next(clock)))
    rates = []

    class Rates(Callback):
        def updated(self, trainer):
            rates.append((trainer.rate, trainer.seconds))

    trainer = Trainer(text_model(), cross_entropy, schedule=Cosine(), learning_rate=0.01, rng=0, callbacks=[Rates()])
    trainer.fit(TextStreams(ids(), 4, 10), minutes=20 / 60)
    assert len(rates) == 20
    shares = [0.0] + [seconds / 20 for _, seconds in rates[:-1]]
    expected = [0.005 * (1 + math.cos(math.pi * share)) for share in shares]
    assert [rate for rate, _ in rates] == pytest.approx(expected, abs=3e-4)
    both = Trainer(text_model(), cross_entropy, schedule=Cosine(), learning_rate=0.01, rng=0, callbacks=[Rates()])
    rates.clear()
    both.fit(TextStreams(ids(), 4, 10), 5, minutes=20 / 60)  # the updates are done first
    assert [rate for rate, _ in rates] == pytest.approx([0.01 * Cosine()(k, 5) for k in range(5)])


def test_labels_out_of_range_stop_before_the_update():
    model = text_model()
    before = model.parameters.flat.copy()
    trainer = Trainer(model, cross_entropy, rng=0)
    with pytest.raises(ShapeError, match=r"\[0, 7\).*got 9"):
        trainer.fit(Shuffled(np.zeros((4, 5), int), np.full((4, 5), 9), 2), 3)
    np.testing.assert_array_equal(model.parameters.flat, before)
    assert trainer.update == 0


def test_a_long_gradient_that_is_finite_is_clipped_not_refused():
    """Its square overflows float32, it does not."""

    def loss(predictions, targets):
        return 1.0, np.full_like(predictions, 1e25)

    x, y = regression()
    trainer = Trainer(regression_model(), loss, SGD(), learning_rate=0.1, clip=1.0, rng=0)
    before = trainer.model.parameters.flat.copy()
    trainer.fit(Shuffled(x, y, 8), 1)
    assert np.linalg.norm(trainer.model.parameters.flat - before) == pytest.approx(0.1, rel=1e-3)


# ---- where a run ends -----------------------------------------------------------------------------------------------


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


# ---- what counts in the loss ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_padding_does_not_count(loss):
    """The loss and gradient of padded rows are those of the rows alone, weighted by their steps."""
    rng, lengths = np.random.default_rng(0), np.array([6, 2, 4])
    model = Sequential(LSTM(2, 5, dtype="float64", rng=1), Dense(5, 3, dtype="float64", rng=2))
    x = rng.normal(size=(3, 6, 2))
    y = rng.integers(0, 3, (3, 6)) if loss is cross_entropy else rng.normal(size=(3, 6, 3))
    nats, gradient = 0.0, np.zeros(model.parameters.size)
    for row, steps in enumerate(lengths):
        z, _, tape = model.forward(x[row : row + 1, :steps], record=True)
        value, dz = loss(z, y[row : row + 1, :steps])
        nats += value * steps / 12
        gradient += model.backward(tape, dz).flat * steps / 12
    trainer = Trainer(model, loss, SGD(), learning_rate=1e-9, rng=0)
    losses = trainer.fit(Shuffled(x, y, 3, lengths), 1)
    assert losses[0] == pytest.approx(nats, rel=1e-12)
    np.testing.assert_allclose(trainer.gradient, gradient, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_masks_and_weights_reach_the_loss(loss):
    rng = np.random.default_rng(0)
    model = Sequential(LSTM(2, 5, dtype="float64", rng=1), Dense(5, 3, dtype="float64", rng=2))
    x, weights = rng.normal(size=(4, 6, 2)), np.array([1.0, 0.0, 2.0, 0.5])
    y = rng.integers(0, 3, (4, 6)) if loss is cross_entropy else rng.normal(size=(4, 6, 3))
    mask = rng.random(y.shape) < 0.5
    z = model(x)[0]
    for more in ({"mask": mask}, {"weights": weights}, {"mask": mask, "weights": weights}):
        trainer = Trainer(model, loss, SGD(), learning_rate=1e-12, rng=0)
        assert trainer.fit(Shuffled(x, y, 4, **more), 1)[0] == pytest.approx(loss(z, y, **more)[0], rel=1e-9)


def test_a_loss_that_takes_no_mask_is_refused_where_rows_are_padded():
    def own(predictions, targets):
        return squared_error(predictions, targets)

    x = np.zeros((2, 3, 2), np.float32)
    trainer = Trainer(Sequential(LSTM(2, 5, rng=1)), own, rng=0)
    with pytest.raises(SettingError, match="own takes no mask"):
        trainer.fit(Shuffled(x, np.zeros((2, 3, 5)), 2, np.array([3, 1])), 1)


def test_a_cosine_that_ended_is_not_gone_on_with_as_if_it_had_not():
    source = TextStreams(ids(), 4, 10)
    trainer = Trainer(text_model(), cross_entropy, schedule=Cosine(), learning_rate=0.01, rng=0)
    trainer.fit(source, 10)
    trainer.fit(source, 10)  # nothing to do
    with pytest.raises(SettingError, match=r"the learning rate would jump from 0 to 0\.005"):
        trainer.fit(source, 20)
    assert trainer.update == 10
    trainer.schedule = Constant()
    assert len(trainer.fit(source, 12)) == 12
    steady = Trainer(text_model(), cross_entropy, schedule=Steps(3), rng=0)
    steady.fit(source, 4)
    assert len(steady.fit(source, 8)) == 8  # which does not depend on the end
