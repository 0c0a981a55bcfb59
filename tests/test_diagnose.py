"""A loss or a gradient that is not finite: where it began is found and told, and nothing of it is kept."""

import math

import numpy as np
import pytest

from compuerta import recurrence
from compuerta.errors import DivergedError
from compuerta.layers import GRU, LSTM, Dense, Last, Sequential
from compuerta.training import (
    SGD,
    Adam,
    Callback,
    Shuffled,
    TextStreams,
    Trainer,
    absolute_error,
    cross_entropy,
    squared_error,
)
from small_runs import ids, regression, regression_model, text_model


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
    assert "{" not in caught.value.text("es")
    assert "gate " not in caught.value.text("es")
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
