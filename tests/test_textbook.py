"""The textbook LSTM: the seeds' numbers and usage, and gradients against the complex step."""

import subprocess
import sys

import numpy as np
import pytest

import compuerta
from compuerta import textbook
from compuerta.textbook import BLOCKS, LSTM, sigmoid

SEED_NUMBERS = {
    "f": (0.71953755, 0.73617388, 0.90950893),
    "i": (0.90876682, 0.81611384, 0.92843489),
    "C_tilde": (0.90783988, 0.99039234, 0.9685002),
    "C": (1.44826102, 1.25079807, 1.54318771),
    "o": (0.91693716, 0.93818735, 0.75460941),
    "h": (0.8209783, 0.7960588, 0.68869764),
}


def seeded_cell():
    """The second seed's cell and inputs, drawn in its order."""
    np.random.seed(42)
    rand = np.random.rand
    x, h_prev, C_prev = rand(4, 1), rand(3, 1), rand(3, 1)
    cell = LSTM(4, 3)
    for k in "fiCo":
        setattr(cell, "W" + k, rand(3, 7))
        setattr(cell, "b" + k, rand(3, 1))
    return cell, x, h_prev, C_prev


def random_cell(rng, inputs=3, hidden=4):
    """Every weight and bias random: a constant one would hide a gate that stands in another's place."""
    cell = LSTM(inputs, hidden, rng=rng)
    for k in BLOCKS:
        setattr(cell, "W" + k, 0.7 * rng.standard_normal((hidden, hidden + inputs)))
        setattr(cell, "b" + k, rng.standard_normal((hidden, 1)))
    return cell


def test_second_seed_to_the_last_printed_digit():
    cell, x, h_prev, C_prev = seeded_cell()
    step = cell.step(x, h_prev, C_prev)
    for key, expected in SEED_NUMBERS.items():
        assert step[key].shape == (3, 1)
        assert tuple(step[key][:, 0].round(8)) == expected, key
    assert np.array_equal(step["concat"], np.vstack((h_prev, x)))
    assert str(step["f"][:, 0]) == "[0.71953755 0.73617388 0.90950893]"
    assert str(step["C"][:, 0]) == "[1.44826102 1.25079807 1.54318771]"
    h_t, C_t = cell.forward(x, h_prev, C_prev)
    assert np.array_equal(h_t, step["h"])
    assert np.array_equal(C_t, step["C"])


def test_first_seed_as_it_is_written():
    input_size = 3
    hidden_size = 5
    lstm = LSTM(input_size, hidden_size)

    x_t = np.random.randn(input_size, 1)
    h_prev = np.zeros((hidden_size, 1))
    C_prev = np.zeros((hidden_size, 1))
    h_t, C_t = lstm.forward(x_t, h_prev, C_prev)
    assert h_t.shape == C_t.shape == (5, 1)

    X = np.random.randn(4, input_size)
    outputs = lstm.forward_sequence(X)
    assert outputs.shape == (4, 5)

    h, C = np.zeros((hidden_size, 1)), np.zeros((hidden_size, 1))
    for x, row in zip(X, outputs, strict=True):
        h, C = lstm.forward(x.reshape(-1, 1), h, C)
        assert np.array_equal(h[:, 0], row)
    assert len(np.unique(outputs)) == outputs.size


def test_a_sequence_of_two_steps_by_hand():
    """The equations written out once more, with each weight in its own place."""
    cell = random_cell(np.random.default_rng(3), 2, 3)
    rng = np.random.default_rng(4)
    X, h, C = rng.standard_normal((2, 2)), rng.standard_normal((3, 1)), rng.standard_normal((3, 1))
    expected, h_t, C_t = [], h, C
    for x in X:
        z = {k: getattr(cell, "W" + k) @ np.concatenate((h_t[:, 0], x)) + getattr(cell, "b" + k)[:, 0] for k in BLOCKS}
        f, i, o = (1 / (1 + np.exp(-z[k])) for k in "fio")
        C_t = (f * C_t[:, 0] + i * np.tanh(z["C"]))[:, None]
        h_t = (o * np.tanh(C_t[:, 0]))[:, None]
        expected.append(h_t[:, 0])
    np.testing.assert_allclose(cell.forward_sequence(X, h, C), expected, rtol=1e-14)


@pytest.mark.parametrize("steps", [1, 5])
def test_gradients_by_complex_step(rng, complex_step, assert_same_gradient, steps):
    cell = random_cell(rng)
    names = [kind + k for k in BLOCKS for kind in "Wb"]
    arrays = {name: getattr(cell, name) for name in names}
    arrays |= {"X": rng.standard_normal((steps, 3))}
    arrays |= {"h0": rng.standard_normal((4, 1)), "C0": rng.standard_normal((4, 1))}
    weigh_h, weigh_C = rng.standard_normal((steps, 4)), rng.standard_normal((4, 1))

    def loss(X, h0, C0, **weights):
        probe = LSTM(3, 4, rng=0)
        for name, value in weights.items():
            setattr(probe, name, value)
        run = probe.trace(X, h0, C0)
        return sum(w @ s["h"][:, 0] for w, s in zip(weigh_h, run, strict=True)) + np.sum(weigh_C * run[-1]["C"])

    expected = complex_step(loss, arrays)
    cell.forward_sequence(arrays["X"], arrays["h0"], arrays["C0"])
    grads = cell.backward_sequence(weigh_h, weigh_C)
    assert set(grads) == {"d" + name for name in arrays}
    for name, value in expected.items():
        assert grads["d" + name].shape == value.shape
        assert_same_gradient(grads["d" + name], value, name)
        np.testing.assert_allclose(grads["d" + name], value, rtol=0, atol=1e-13 * np.abs(value).max())


def test_dC_defaults_to_zeros_and_matters_when_given(rng):
    cell = random_cell(rng)
    cell.forward_sequence(rng.standard_normal((4, 3)))
    dH, dC = rng.standard_normal((4, 4)), rng.standard_normal((4, 1))
    without, zeros, given = (cell.backward_sequence(dH, d) for d in (None, np.zeros((4, 1)), dC))
    for name in without:
        assert np.array_equal(without[name], zeros[name])
    assert not np.allclose(without["dWf"], given["dWf"])


def test_backward_wants_a_forward_of_the_same_length(rng):
    cell = random_cell(rng)
    with pytest.raises(RuntimeError, match="forward_sequence"):
        cell.backward_sequence(np.ones((4, 4)))
    cell.forward_sequence(rng.standard_normal((3, 3)))
    with pytest.raises(RuntimeError, match="as many steps"):
        cell.backward_sequence(np.ones((4, 4)))


def test_empty_sequence(rng):
    cell = random_cell(rng)
    h0, C0 = rng.standard_normal((4, 1)), rng.standard_normal((4, 1))
    assert cell.forward_sequence(np.zeros((0, 3)), h0, C0).shape == (0, 4)
    dC = rng.standard_normal((4, 1))
    grads = cell.backward_sequence(np.zeros((0, 4)), dC)
    assert grads["dX"].shape == (0, 3)
    assert np.array_equal(grads["dC0"], dC)
    assert not grads["dWf"].any()


@pytest.mark.parametrize(("layers", "both"), [(1, False), (2, True)])
def test_round_trip_to_the_layer(rng, layers, both):
    layer = compuerta.LSTM(4, 4, layers, bidirectional=both, dtype="float64", rng=1)
    before = layer.parameters.flat.copy()
    for index in range(layers):
        for reverse in (False, True)[: 1 + both]:
            inputs = 4 if index == 0 else 8
            cell = random_cell(rng, inputs, 4)
            assert cell.to_layer(layer, index, reverse=reverse) is layer
            back = LSTM.from_layer(layer, index, reverse=reverse)
            for k in BLOCKS:
                assert np.array_equal(getattr(back, "W" + k), getattr(cell, "W" + k))
                assert np.array_equal(getattr(back, "b" + k), getattr(cell, "b" + k))
    assert (layer.parameters.flat != before).all(), "some place of the layer was never written"


def test_new_layer_computes_the_same(rng):
    cell = random_cell(rng)
    layer = cell.to_layer()
    X = rng.standard_normal((6, 3))
    y, (h, c) = layer(X)
    steps = cell.trace(X)
    np.testing.assert_allclose(y, cell.forward_sequence(X), rtol=0, atol=1e-14)
    np.testing.assert_allclose(h[0, 0], steps[-1]["h"][:, 0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(c[0, 0], steps[-1]["C"][:, 0], rtol=0, atol=1e-14)


def test_sigmoid_never_overflows():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got = sigmoid(np.array([-1e308, -1000.0, -40.0, 0.0, 40.0, 1000.0, np.inf, -np.inf]))
    np.testing.assert_allclose(got, [0, 0, np.exp(-40), 0.5, 1, 1, 1, 0], rtol=1e-15, atol=0)
    z = 20 * np.random.default_rng(0).standard_normal(100)
    np.testing.assert_allclose(sigmoid(z) + sigmoid(-z), 1, rtol=1e-15)


def test_huge_inputs_saturate_quietly(rng):
    h, C = random_cell(rng).forward(np.full((3, 1), 1e30), np.zeros((4, 1)), np.zeros((4, 1)))
    assert np.isfinite(h).all()
    assert np.isfinite(C).all()


def test_initial_weights():
    cell = LSTM(30, 20, rng=5)
    bound = np.sqrt(6 / 50)
    for k in BLOCKS:
        W_h, W_x = getattr(cell, "W" + k)[:, :20], getattr(cell, "W" + k)[:, 20:]
        np.testing.assert_allclose(W_h @ W_h.T, np.eye(20), atol=1e-13)
        assert 0.95 * bound < np.abs(W_x).max() <= bound
        assert (getattr(cell, "b" + k) == (1 if k == "f" else 0)).all()
    plain = LSTM(30, 20, rng=5, init="normal")
    for k in BLOCKS:
        assert abs(getattr(plain, "W" + k).std() - 1) < 0.1
        assert not getattr(plain, "b" + k).any()
    assert np.array_equal(LSTM(30, 20, rng=5).Wf, cell.Wf)
    assert not np.array_equal(LSTM(30, 20, rng=6).Wf, cell.Wf)
    assert len({getattr(cell, "W" + k).tobytes() for k in BLOCKS}) == 4
    with pytest.raises(ValueError, match="'standard' or 'normal'; got 'ones'"):
        LSTM(3, 4, init="ones")


def test_textbook_imports_nothing_but_numpy():
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('alone', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "import numpy as np\n"
        "assert module.LSTM(3, 5, rng=0).forward_sequence(np.ones((4, 3))).shape == (4, 5)\n"
        "assert not any(name.split('.')[0] == 'compuerta' for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, textbook.__file__], check=True)
