"""Layers and textbook against numbers that PyTorch, Keras and ONNX Runtime gave (golden/, with the scripts)."""

from pathlib import Path

import numpy as np
import pytest

import compuerta
from compuerta import textbook

FOLDER = Path(__file__).parent / "golden"


def golden(framework, case):
    with np.load(FOLDER / f"{framework}.npz", allow_pickle=False) as file:
        found = {key.split("/", 1)[1]: file[key] for key in file.files if key.startswith(case + "/")}
    assert found, f"{framework}.npz holds no case {case}"
    return found


def reorder(stacked, order, hidden):
    """Put blocks of ``hidden`` rows in another order: ``order[k]`` is the place where block k stands now."""
    blocks = stacked.reshape(len(order), hidden, *stacked.shape[1:])
    return np.concatenate([blocks[k] for k in order])


def close(got, expected, tolerance, what):
    assert got.shape == expected.shape, what
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, err_msg=what)


# ---- PyTorch --------------------------------------------------------------------------------------------------------


def from_pytorch(g):
    """Return a float64 layer with the weights of one golden case, and the names of its places."""
    layers = sum(key.startswith("weight_hh_l") and not key.endswith("_reverse") for key in g)
    both = "weight_hh_l0_reverse" in g
    features, hidden = g["weight_ih_l0"].shape[1], g["weight_hh_l0"].shape[1]
    kind = compuerta.LSTM if "c0" in g else compuerta.GRU
    layer = kind(features, hidden, layers, bidirectional=both, dtype="float64", rng=0)
    places = [f"_l{k}{end}" for k in range(layers) for end in ("", "_reverse")[: 1 + both]]
    for end in places:
        b_ih, b_hh = g["bias_ih" + end], g["bias_hh" + end]
        layer.parameters["w_x" + end] = g["weight_ih" + end]
        layer.parameters["w_h" + end] = g["weight_hh" + end]
        if kind is compuerta.LSTM:
            layer.parameters["b" + end] = b_ih + b_hh
        else:
            layer.parameters["b" + end] = b_ih + np.concatenate((b_hh[: 2 * hidden], np.zeros(hidden)))
            layer.parameters["b_hn" + end] = b_hh[2 * hidden :]
    return layer, places


@pytest.mark.parametrize("case", ["lstm", "lstm_stacked_both_ways", "gru", "gru_stacked_both_ways"])
def test_pytorch_forward_and_gradients(case):
    g = golden("pytorch", case)
    layer, places = from_pytorch(g)
    parts = layer.parts
    state = tuple(g[p + "0"] for p in parts)
    y, final, tape = layer.forward(g["x"], state, g.get("lengths"), record=True)
    final = final if len(parts) == 2 else (final,)
    close(y, g["y"], 1e-13, "y")
    for p, value in zip(parts, final, strict=True):
        close(value, g[p + "_n"], 1e-13, p + "_n")

    grads = layer.backward(tape, g["dy"], tuple(g[f"d{p}_n"] for p in parts))
    close(grads.x, g["dx"], 1e-12, "dx")
    initial = grads.state if len(parts) == 2 else (grads.state,)
    for p, value in zip(parts, initial, strict=True):
        close(value, g[f"d{p}0"], 1e-12, f"d{p}0")
    for end in places:
        close(grads["w_x" + end], g["dweight_ih" + end], 1e-12, "w_x" + end)
        close(grads["w_h" + end], g["dweight_hh" + end], 1e-12, "w_h" + end)
        close(grads["b" + end], g["dbias_ih" + end], 1e-12, "b" + end)
        if "b_hn" + end in layer.parameters:
            close(grads["b_hn" + end], g["dbias_hh" + end][-layer.hidden_size :], 1e-12, "b_hn" + end)


def test_pytorch_against_the_textbook():
    g = golden("pytorch", "lstm")
    cell = textbook.LSTM(4, 5)
    rows = {k: slice(5 * at, 5 * at + 5) for at, k in enumerate("ifCo")}  # PyTorch's order is i, f, g, o
    for k, where in rows.items():
        setattr(cell, "W" + k, np.hstack((g["weight_hh_l0"][where], g["weight_ih_l0"][where])))
        setattr(cell, "b" + k, (g["bias_ih_l0"] + g["bias_hh_l0"])[where, None])
    total = {"W" + k: 0 for k in rows}
    for n, X in enumerate(g["x"]):
        close(cell.forward_sequence(X, g["h0"][0, n, :, None], g["c0"][0, n, :, None]), g["y"][n], 1e-13, f"row {n}")
        dH = g["dy"][n].copy()
        dH[-1] += g["dh_n"][0, n]
        grads = cell.backward_sequence(dH, g["dc_n"][0, n, :, None])
        close(grads["dX"], g["dx"][n], 1e-12, f"dX of row {n}")
        close(grads["dh0"][:, 0], g["dh0"][0, n], 1e-12, f"dh0 of row {n}")
        close(grads["dC0"][:, 0], g["dc0"][0, n], 1e-12, f"dC0 of row {n}")
        for k in rows:
            total["W" + k] = total["W" + k] + grads["dW" + k]
    for k, where in rows.items():
        expected = np.hstack((g["dweight_hh_l0"][where], g["dweight_ih_l0"][where]))
        close(total["W" + k], expected, 1e-12, "W" + k)


# ---- Keras ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["lstm", "gru_reset_after", "gru_reset_before"])
def test_keras_whole_and_masked(case):
    g = golden("keras", case)
    features, hidden = len(g["kernel"]), len(g["recurrent_kernel"])
    if case == "lstm":  # i f c o
        layer = compuerta.LSTM(features, hidden, dtype="float64", rng=0)
        order, b, b_hn = (0, 1, 2, 3), g["bias"], None
    else:  # z r h; ours is r z n
        after = case == "gru_reset_after"
        layer = compuerta.GRU(features, hidden, reset_after=after, dtype="float64", rng=0)
        order, b, b_hn = (1, 0, 2), g["bias"], None
        if after:  # one row of biases for the input, one for the recurrence
            b, b_hn = g["bias"][0].copy(), g["bias"][1, 2 * hidden :]
            b[: 2 * hidden] += g["bias"][1, : 2 * hidden]
    layer.parameters["w_x_l0"] = reorder(g["kernel"].T, order, hidden)
    layer.parameters["w_h_l0"] = reorder(g["recurrent_kernel"].T, order, hidden)
    layer.parameters["b_l0"] = reorder(b, order, hidden)
    if b_hn is not None:
        layer.parameters["b_hn_l0"] = b_hn

    state = tuple(g[p + "0"][None] for p in layer.parts)
    full = np.full(len(g["x"]), g["x"].shape[1])
    exact = 1e-6 if case == "gru_reset_before" else 1e-13  # what Keras itself rounded: see make_golden_keras.py
    for end, lengths, tolerance in (("_whole", full, exact), ("_masked", g["lengths"], 1e-6)):
        y, final = layer(g["x"], state, lengths)
        final = final if len(layer.parts) == 2 else (final,)
        for n, length in enumerate(lengths):  # past the mask Keras repeats the last output, where ours is zero
            close(y[n, :length], g["y" + end][n, :length], tolerance, f"row {n}{end}")
        for p, value in zip(layer.parts, final, strict=True):
            close(value[0], g[p + "_n" + end], tolerance, p + "_n" + end)


# ---- ONNX Runtime ---------------------------------------------------------------------------------------------------

ONNX_LSTM = (0, 2, 3, 1)  # i o f c, read as i f g o
ONNX_GRU = (1, 0, 2)  # z r h, read as r z n


@pytest.mark.parametrize("case", ["lstm_forward", "lstm_reverse", "lstm_bidirectional"])
def test_onnx_lstm(case):
    g = golden("onnx", case)
    directions, _, features = g["W"].shape
    hidden = g["R"].shape[2]
    # A second direction of ours reads from the end, so "reverse" is the second half of a layer with both.
    layer = compuerta.LSTM(features, hidden, bidirectional=case != "lstm_forward", rng=0)
    first = 1 if case == "lstm_reverse" else 0
    state = [np.zeros((layer.directions, 4, hidden), np.float32) for _ in "hc"]
    for d in range(directions):
        end = "_l0" + ("_reverse" if first + d else "")
        layer.parameters["w_x" + end] = reorder(g["W"][d], ONNX_LSTM, hidden)
        layer.parameters["w_h" + end] = reorder(g["R"][d], ONNX_LSTM, hidden)
        layer.parameters["b" + end] = reorder(g["B"][d].reshape(2, -1).sum(0), ONNX_LSTM, hidden)
        state[0][first + d], state[1][first + d] = g["initial_h"][d], g["initial_c"][d]
    y, (h, c) = layer(g["X"].swapaxes(0, 1), tuple(state), g["sequence_lens"])
    expected = g["Y"].transpose(2, 0, 1, 3).reshape(4, len(g["X"]), directions * hidden)
    close(y[:, :, first * hidden :], expected, 2e-6, "Y")
    close(h[first:], g["Y_h"], 2e-6, "Y_h")
    close(c[first:], g["Y_c"], 2e-6, "Y_c")


@pytest.mark.parametrize("after", [0, 1])
def test_onnx_gru(after):
    g = golden("onnx", f"gru_linear_before_reset_{after}")
    features, hidden = g["W"].shape[2], g["R"].shape[2]
    layer = compuerta.GRU(features, hidden, bidirectional=True, reset_after=bool(after), rng=0)
    for d, end in enumerate(("_l0", "_l0_reverse")):
        layer.parameters["w_x" + end] = reorder(g["W"][d], ONNX_GRU, hidden)
        layer.parameters["w_h" + end] = reorder(g["R"][d], ONNX_GRU, hidden)
        b, b_recurrent = (reorder(part, ONNX_GRU, hidden) for part in g["B"][d].reshape(2, -1))
        if after:
            layer.parameters["b_hn" + end] = b_recurrent[2 * hidden :].copy()
            b_recurrent[2 * hidden :] = 0
        layer.parameters["b" + end] = b + b_recurrent
    y, h = layer(g["X"].swapaxes(0, 1), g["initial_h"], g["sequence_lens"])
    close(y, g["Y"].transpose(2, 0, 1, 3).reshape(4, len(g["X"]), 2 * hidden), 2e-6, "Y")
    close(h, g["Y_h"], 2e-6, "Y_h")


def test_golden_files_are_small_and_come_with_their_scripts():
    made = sorted(path.stem for path in FOLDER.glob("*.npz"))
    assert {"keras", "onnx", "pytorch"} <= set(made)
    assert all((FOLDER / f"make_golden_{stem}.py").is_file() for stem in made)
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 300_000
