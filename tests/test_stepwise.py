"""Cells stated as equations of one step, beyond what layers reach: any activation and clip, forward and back."""

import numpy as np
import pytest

from compuerta import recurrence
from compuerta.activations import Activation
from compuerta.recurrence import Clamps, GRUEquations, MinLSTMEquations, RNNEquations

SOFT, HARD = Activation("Softsign"), Activation("HardSigmoid", 0.3, 0.4)
CELLS = {
    "simple": RNNEquations(),
    "simple, clipped": RNNEquations(SOFT, 0.9),
    "reset after": GRUEquations(),
    "reset before": GRUEquations(reset_after=False),
    "reset after, clipped": GRUEquations(True, HARD, SOFT, 0.9),
    "reset before, clipped": GRUEquations(False, HARD, SOFT, 0.9),
    "minimal": MinLSTMEquations(),
}
cells = pytest.mark.parametrize("name", CELLS)


def parameters(equations, rng, features, hidden):
    wide = len(equations.blocks) * hidden
    shapes = {"w_x": (wide, features), "w_h": (wide, hidden), "b": (wide,), "b_hn": (hidden,)}
    return {name: rng.standard_normal(shapes[name]) for name in equations.parameters}


def run(cell, weights, x, state, lengths, *, reverse=False, record=False):
    y, final = np.empty((*x.shape[:2], state.shape[2]), x.dtype), np.empty_like(state)
    return y, final, cell.forward(cell.pack(*weights), x, state, lengths, reverse, record, y, final)


@pytest.mark.parametrize("clamps", [{}, {"h": {1: 0.4}}], ids=["", "clamped"])
@cells
def test_gradients(rng, complex_step, assert_same_gradient, name, clamps):
    cell = recurrence.stepwise_cell(CELLS[name]).clamped(Clamps(clamps))
    x, state, lengths = rng.standard_normal((3, 4, 2)), rng.standard_normal((1, 3, 3)), np.array([4, 0, 2])
    arrays = parameters(CELLS[name], rng, 2, 3)
    dy, dfinal = rng.standard_normal((3, 4, 3)), rng.standard_normal(state.shape)
    _, _, tape = run(cell, arrays.values(), x, state, lengths, record=True)
    out, dstate = {k: np.empty_like(a) for k, a in arrays.items()}, np.empty_like(state)
    dx = cell.backward(None, tape, dy, dfinal, tuple(out.values()), dstate)

    def loss(x, state, **weights):
        y, final, _ = run(cell, weights.values(), x, state, lengths)
        return np.sum(dy * y) + np.sum(dfinal * final)

    expected = complex_step(loss, {"x": x, "state": state, **arrays})
    for key, got in {"x": dx, "state": dstate, **out}.items():
        assert_same_gradient(got, expected[key], key)


@pytest.mark.parametrize("name", [name for name in CELLS if "clipped" not in name])
def test_a_tape_made_again_from_its_quantities_flows_back_as_the_first(rng, name):
    cell = recurrence.stepwise_cell(CELLS[name])
    x, state, lengths = rng.standard_normal((3, 4, 2)), rng.standard_normal((1, 3, 3)), np.array([4, 0, 2])
    weights = list(parameters(CELLS[name], rng, 2, 3).values())
    _, _, tape = run(cell, weights, x, state, lengths, reverse=True, record=True)
    again = cell.reopen(cell.pack(*weights), tape.packing, x, tape.read, state)
    dy = tape.packing.pack(rng.standard_normal((3, 4, 3)))
    found = []
    for each in (tape, again):
        dys = (dy[start : start + count] for start, count in reversed(tape.packing.steps))
        found.append(list(cell.flow(each, dys, [np.zeros((3, 3))], inputs=True)))
    for one, other in zip(*found, strict=True):
        assert one.keys() == other.keys() >= {"x", "h", *("z_" + k for k in CELLS[name].blocks)}
        for key in one:
            np.testing.assert_allclose(one[key], other[key], rtol=0, atol=1e-14)


def test_an_update_gate_clamped_at_1_keeps_the_state_to_the_last_bit(rng):
    cell = recurrence.stepwise_cell(GRUEquations()).clamped(Clamps({"z": {2: 1.0}}))
    state = rng.standard_normal((1, 3, 4)).astype(np.float32)
    weights = [a.astype(np.float32) for a in parameters(GRUEquations(), rng, 2, 4).values()]
    y, _, _ = run(cell, weights, rng.standard_normal((3, 50, 2)).astype(np.float32), state, None)
    assert (y[:, :, 2] == state[0, :, None, 2]).all()


@pytest.mark.parametrize("key", ["c", "z_q", "z_h", "", "z_"])
def test_a_tape_reads_no_quantity_that_its_cell_does_not_have(rng, key):
    cell = recurrence.stepwise_cell(GRUEquations())
    for steps in (0, 2):
        weights = parameters(GRUEquations(), rng, 2, 4).values()
        _, _, tape = run(cell, weights, np.ones((1, steps, 2)), np.zeros((1, 1, 4)), None, record=True)
        with pytest.raises(KeyError):
            tape.read(key)
        assert tape.read("h").shape == tape.read("z_r").shape == (1, steps, 4)


def test_equal_equations_have_one_cell():
    assert recurrence.stepwise_cell(GRUEquations()) is recurrence.stepwise_cell(GRUEquations(clip=None))
    assert recurrence.stepwise_cell(GRUEquations()) is not recurrence.stepwise_cell(GRUEquations(clip=1.0))
