"""Sources of batches: windows of a text that carry the state, rows in an order of their own, places to go on from."""

import json
from itertools import pairwise

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
    assert source.windows == 6 == -(-47 // 9)
    trainer = Trainer(model, cross_entropy, Still(), rng=0)
    losses = trainer.fit(source, 2 * source.windows + 2)
    x, y = (part.reshape(n, 47) for part in (text[:-1], text[1:]))
    logits, _ = model(x)
    windows = list(pairwise(np.linspace(0, 47, 7).round().astype(int)))
    assert {b - a for a, b in windows} == {7, 8}
    whole = [cross_entropy(logits[:, a:b], y[:, a:b])[0] for a, b in windows]
    np.testing.assert_allclose(losses, [*whole, *whole, *whole[:2]], rtol=1e-12)  # each pass from a zero state
    alone = [cross_entropy(model(x[:, a:b])[0], y[:, a:b])[0] for a, b in windows[1:]]
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


@pytest.mark.parametrize("cell", [LSTM, GRU])
def test_a_row_that_restarts_begins_from_the_start_state_and_the_others_go_on(cell):
    rng = np.random.default_rng(0)
    model = Sequential(
        Embedding(7, 5, dtype="float64", rng=rng), cell(5, 6, 2, dtype="float64", rng=rng),
        Dense(6, 7, dtype="float64", rng=rng),
    )  # fmt: skip
    text, carried = ids(4 * 40 + 1), []

    class Told(TextStreams):
        def next(self, rng):
            batch = super().next(rng)
            carried.append((batch.x, batch.y, batch.carry))
            return batch

    losses = Trainer(model, cross_entropy, Still(), rng=3).fit(Told(text, 4, 8, restarts=0.4), 10)
    assert [carry is False for _, _, carry in carried] == [True, *4 * [False]] * 2
    marks = np.concatenate([carry for _, _, carry in carried if carry is not False])
    assert 0 < marks.sum() < len(marks)
    states = [None] * 4
    for (x, y, carry), loss in zip(carried, losses, strict=True):
        nats = 0.0
        for row in range(4):
            goes_on = carry is not False and carry[row]
            z, states[row] = model(x[row : row + 1], states[row] if goes_on else None)
            nats += cross_entropy(z, y[row : row + 1])[0] / 4
        assert loss == pytest.approx(nats, rel=1e-12)


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


@pytest.mark.parametrize("length", [*range(200, 330), 999, 1000, 4500, 9000, 50_000, 99_999, 100_000])
def test_every_character_is_a_target_in_every_pass(length):
    """With the batch that a language model takes: each but the first at least once, and hardly one twice."""
    steps = min(64, (length - 1) // 2)
    n = min(32, (length - 1) // steps)
    source, rng = TextStreams(np.arange(length), n, steps, restarts=0.1), np.random.default_rng(0)
    for _ in range(2):
        batches = [source.next(rng) for _ in range(source.windows)]
        assert batches[0].carry is False
        for batch in batches:
            np.testing.assert_array_equal(batch.y, batch.x + 1)
            assert batch.x.shape[0] == n
            assert batch.x.shape[1] <= steps
        for before, after in pairwise(batches):
            np.testing.assert_array_equal(after.x[:, 0], before.y[:, -1])
        counts = np.bincount(np.concatenate([batch.y.ravel() for batch in batches]), minlength=length)
        assert counts[0] == 0
        assert counts[1:].min() == 1
        assert counts.sum() - (length - 1) < n


@pytest.mark.parametrize("make", [lambda: TextStreams(ids(), 3, 7, restarts=0.3), lambda: Shuffled(*regression(), 16)])
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
        np.testing.assert_array_equal(other.carry, batch.carry)


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
