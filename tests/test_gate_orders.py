"""The table of gate orders against what each system computes, written out here gate by gate from its documents."""

import numpy as np
import pytest

from compuerta.interop import gate_orders

#: Where each gate stands in each system's stack, as its documents say; a second statement, in other words.
STATED = {
    "LSTM": {
        "compuerta": {"i": 0, "f": 1, "g": 2, "o": 3},
        "pytorch": {"i": 0, "f": 1, "g": 2, "o": 3},  # (W_ii|W_if|W_ig|W_io)
        "keras": {"i": 0, "f": 1, "g": 2, "o": 3},  # z0 i, z1 f, z2 c, z3 o
        "onnx": {"i": 0, "o": 1, "f": 2, "g": 3},  # W[iofc]
        "tensorflow1": {"i": 0, "g": 1, "f": 2, "o": 3},  # i, j, f, o
        "flax": {"i": 0, "f": 1, "g": 2, "o": 3},
        "equinox": {"i": 0, "f": 1, "g": 2, "o": 3},
        "karpathy": {"i": 0, "f": 1, "o": 2, "g": 3},  # IFOg
    },
    "GRU": {
        "compuerta": {"r": 0, "z": 1, "n": 2},
        "pytorch": {"r": 0, "z": 1, "n": 2},  # (W_ir|W_iz|W_in)
        "keras": {"z": 0, "r": 1, "n": 2},  # z, r, h
        "onnx": {"z": 0, "r": 1, "n": 2},  # W[zrh]
        "flax": {"r": 0, "z": 1, "n": 2},
        "equinox": {"r": 0, "z": 1, "n": 2},
    },
}
TABLES = {"LSTM": gate_orders.LSTM, "GRU": gate_orders.GRU}


@pytest.mark.parametrize("cell", STATED)
def test_every_system_stands_in_the_table(cell):
    assert set(TABLES[cell]) == set(STATED[cell])


@pytest.mark.parametrize("cell", STATED)
def test_reordering_from_any_to_any_puts_each_gate_where_its_system_has_it(cell, rng):
    hidden = 3
    for source, before in STATED[cell].items():
        for target, after in STATED[cell].items():
            stacked = rng.standard_normal((len(before) * hidden, 2))
            made = gate_orders.reorder(stacked, TABLES[cell][source], TABLES[cell][target])
            for gate, k in before.items():
                expected = stacked[k * hidden : (k + 1) * hidden]
                assert np.array_equal(made[after[gate] * hidden : (after[gate] + 1) * hidden], expected), (
                    source,
                    target,
                )
            turned = gate_orders.reorder(stacked.T, TABLES[cell][source], TABLES[cell][target], axis=1)
            assert np.array_equal(turned, made.T)
            back = gate_orders.reorder(made, TABLES[cell][target], TABLES[cell][source])
            assert np.array_equal(back, stacked)


def test_the_permutations_that_everybody_quotes():
    assert gate_orders.permutation(gate_orders.LSTM["pytorch"], gate_orders.LSTM["onnx"]) == (0, 3, 1, 2)
    assert gate_orders.permutation(gate_orders.LSTM["onnx"], gate_orders.LSTM["pytorch"]) == (0, 2, 3, 1)
    assert gate_orders.permutation(gate_orders.LSTM["tensorflow1"], gate_orders.LSTM["keras"]) == (0, 2, 1, 3)
    assert gate_orders.permutation(gate_orders.GRU["keras"], gate_orders.GRU["pytorch"]) == (1, 0, 2)
    assert gate_orders.permutation(gate_orders.PEEPHOLES["onnx"], gate_orders.PEEPHOLES["compuerta"]) == (0, 2, 1)


def test_spelling():
    assert gate_orders.spelled(gate_orders.LSTM["onnx"], "onnx") == "i o f c"
    assert gate_orders.spelled(gate_orders.LSTM["tensorflow1"], "tensorflow1") == "i j f o"
    assert gate_orders.spelled(gate_orders.LSTM["keras"], "keras") == "i f c o"
    assert gate_orders.spelled(gate_orders.GRU["keras"], "keras") == "z r h"


def test_what_does_not_name_the_same_blocks_is_refused():
    with pytest.raises(ValueError, match="do not name the same blocks"):
        gate_orders.permutation("ifgo", "rzn")
    with pytest.raises(ValueError, match="do not name the same blocks"):
        gate_orders.permutation("iigo", "iigo")
    with pytest.raises(ValueError, match="equal division"):
        gate_orders.reorder(np.zeros(6), "ifgo", "iofg")
