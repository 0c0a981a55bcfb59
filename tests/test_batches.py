"""Sources of batches: windows of a text that carry the state, rows in an order of their own, places to go on from."""

import json

import numpy as np
import pytest

from compuerta.errors import DataError, SettingError, ShapeError
from compuerta.layers import GRU, LSTM, Dense, Embedding, Sequential
from compuerta.training import SGD, Shuffled, TextStreams, Trainer, cross_entropy
from small_runs import ids, regression, text_model

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


# ---- what a source gives --------------------------------------------------------------------------------------------


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
