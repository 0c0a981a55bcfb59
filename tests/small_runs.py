"""Small models, small data and callbacks: what the tests of training share."""

import numpy as np

from compuerta.layers import GRU, LSTM, Dense, Dropout, Embedding, Last, Sequential
from compuerta.training import Callback


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
