"""The native engine's variants of the LSTM: beside the NumPy cell that runs step by step, and against themselves to the
last bit. That cell is proved elsewhere, by an oracle of its own."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from compuerta import LSTM, recurrence
from compuerta.activations import ACTIVATIONS, Activation
from compuerta.recurrence import LSTMEquations, Variant, native_variant, stepwise_cell
from native_engine import CLOSE, SENTINEL, directions, dtypes, same_bits

#: Those that keep a gate within bounds; with the others a long sequence runs away.
SQUASHING = ("HardSigmoid", "ScaledTanh", "Softsign", "Tanh")
SWITCHES = {
    "peepholes": {"peepholes": True},
    "coupled": {"coupled": True},
    "no input gate": {"input_gate": False},
    "no forget gate": {"forget_gate": False},
    "no output gate": {"output_gate": False},
    "no gate": {"input_gate": False, "forget_gate": False, "output_gate": False},
    "projection": {"projection": True},
    "clip": {"clip": 0.5},
    "cell clip": {"cell_clip": 0.3},
    "peepholes of two gates": {"peepholes": True, "input_gate": False},
    "peepholes without o": {"peepholes": True, "output_gate": False, "clip": 0.6},
    "all": {"projection": True, "peepholes": True, "coupled": True, "clip": 0.7, "cell_clip": 0.4},
    **{f"{name} gates": {"gate_activation": Activation(name)} for name in SQUASHING},
    **{f"{name} in": {"input_activation": Activation(name)} for name in native_variant.ACTIVATIONS if name != "Tanh"},
    **{f"{name} out": {"output_activation": Activation(name)} for name in native_variant.ACTIVATIONS if name != "Tanh"},
    "Keras relu": {"input_activation": Activation("Relu"), "output_activation": Activation("Relu")},
    "another hard sigmoid": {"gate_activation": Activation("HardSigmoid", 1 / 6, 0.5)},
    "negative alphas": {
        "input_activation": Activation("LeakyRelu", -0.3), "output_activation": Activation("Elu", -0.5),
    },
    "a threshold below zero": {"input_activation": Activation("ThresholdedRelu", -0.2), "clip": 0.5},
}  # fmt: skip
FEW = ("peepholes", "no forget gate", "projection", "all", "Softplus in", "Keras relu")
switches = pytest.mark.parametrize("name", SWITCHES)
a_few = pytest.mark.parametrize("name", FEW)


@dataclasses.dataclass
class Batch:
    """All that goes into a variant, forward and backward; h may be narrower than c."""

    variant: Variant
    weights: list
    x: np.ndarray
    state: list
    lengths: np.ndarray | None
    reverse: bool
    dy: np.ndarray
    dfinal: list

    def rows(self, chosen):
        """The same for some rows only."""
        parts = {k: [p[chosen] for p in getattr(self, k)] for k in ("state", "dfinal")}
        lengths = None if self.lengths is None else self.lengths[chosen]
        return dataclasses.replace(self, x=self.x[chosen], lengths=lengths, dy=self.dy[chosen], **parts)


def batch_of(rng, name, n, t, features, hidden, dtype="float64", *, tokens=False, reverse=False, width=None):
    variant = Variant(**SWITCHES[name])
    out = (width or hidden // 2 + 1) if variant.projection else hidden
    shapes = variant.shapes(features, hidden, out).values()
    weights = [0.7 * rng.standard_normal(s) / np.sqrt(s[-1] if len(s) > 1 else 2) for s in shapes]
    x = rng.integers(0, features, (n, t)) if tokens else rng.standard_normal((n, t, features)).astype(dtype)
    parts = [[rng.standard_normal((n, width)).astype(dtype) for width in (out, hidden)] for _ in range(2)]
    dy, lengths = rng.standard_normal((n, t, out)).astype(dtype), rng.integers(0, t + 1, n)
    return Batch(variant, [w.astype(dtype) for w in weights], x, parts[0], lengths, reverse, dy, parts[1])


def forward(cell, batch, record):
    """Return ``(y, final, tape)``; what is left unwritten stays NaN."""
    y = np.full(batch.dy.shape, np.nan, batch.dy.dtype)
    final = [np.full_like(part, np.nan) for part in batch.state]
    tape = cell.forward(
        cell.pack(*batch.weights), batch.x, batch.state, batch.lengths, batch.reverse, record, y, final
    )  # fmt: skip
    return y, final, tape


def everything(cell, batch):
    """All results of a recorded run and its way back, by name."""
    y, final, tape = forward(cell, batch, True)
    keys = ("i", "f", "g", "o", "c", "h", *(f"z_{block}" for block in batch.variant.blocks))
    out = [np.full_like(w, SENTINEL) for w in batch.weights]
    dstate = [np.full_like(part, np.nan) for part in batch.state]
    dx = cell.backward(cell.pack(*batch.weights), tape, batch.dy, batch.dfinal, tuple(out), dstate)
    named = {"y": y, "h_n": final[0], "c_n": final[1], "dh_0": dstate[0], "dc_0": dstate[1]}
    named |= {f"tape {key}": tape.read(key) for key in keys} | ({} if dx is None else {"dx": dx})
    return named | {f"d {k}": d for k, d in zip(batch.variant.shapes(1, 1), out, strict=True)}


def native(variant, switches):
    """The cell of these switches on one instruction set; it must be the library's."""
    cell = recurrence.engines()[variant].lstm_variant(switches)
    assert cell is not stepwise_cell(LSTMEquations(switches))
    return cell


def agree(got, expected, dtype, least=0.01):
    assert list(got) == list(expected)
    for key, value in got.items():
        most = max(least, float(np.abs(expected[key]).max(initial=0)))
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1.5 * CLOSE[dtype] * most, err_msg=key)


@switches
@directions
@dtypes
def test_a_variant_is_the_cell_that_runs_step_by_step(rng, variant, name, reverse, dtype):
    """Outputs, states, all numbers of the tape and all gradients; one row, some, and more than a strip of them."""
    for n, t, features, hidden, tokens in ((7, 13, 5, 11, False), (1, 9, 3, 20, True), (41, 6, 4, 17, False)):
        batch = batch_of(rng, name, n, t, features, hidden, dtype, tokens=tokens, reverse=reverse)
        cell = native(variant, batch.variant)
        got = everything(cell, batch)
        agree(got, everything(stepwise_cell(LSTMEquations(batch.variant)), batch), dtype)
        y, final, _ = forward(cell, batch, False)
        assert same_bits([y, *final], [got["y"], got["h_n"], got["c_n"]])


@pytest.mark.parametrize("width", [1, 8, 33, 70])
def test_a_projection_may_have_any_width(rng, variant, width):
    batch = batch_of(rng, "projection", 9, 12, 3, 19, width=width)
    agree(everything(native(variant, batch.variant), batch),
          everything(stepwise_cell(LSTMEquations(batch.variant)), batch), "float64")  # fmt: skip


@a_few
@dtypes
def test_a_row_of_a_variant_does_not_depend_on_the_rows_beside_it(rng, variant, name, dtype):
    batch = batch_of(rng, name, 13, 17, 6, 37, dtype)
    cell = native(variant, batch.variant)
    whole = everything(cell, batch)
    for chosen in [np.array([k]) for k in range(13)] + [rng.permutation(13)[:size] for size in (2, 3, 5, 7, 11)]:
        part = everything(cell, batch.rows(chosen))
        for key in whole:
            if not key.startswith("d "):
                assert same_bits([part[key]], [whole[key][chosen]]), f"{key} of rows {chosen}"
        assert same_bits(forward(cell, batch.rows(chosen), False)[:1], [whole["y"][chosen]])


@a_few
@dtypes
def test_any_number_of_threads_gives_the_same_bits_of_a_variant(rng, variant, name, dtype):
    batch = batch_of(rng, name, 61, 17, 24, 45, dtype)
    cell, runs = native(variant, batch.variant), []
    for threads in (1, 2, 4):
        recurrence.set_num_threads(threads)
        runs.append([*everything(cell, batch).values(), forward(cell, batch, False)[0]])
    assert all(same_bits(runs[0], other) for other in runs[1:])


@pytest.mark.parametrize("n", [1, 5])
@a_few
@dtypes
def test_a_stream_of_a_variant_gives_the_bits_of_the_sequence(rng, variant, name, dtype, n):
    options = dict(SWITCHES[name])
    if options.pop("projection", False):
        options["projection_size"] = 19
    for tokens in (False, True):
        layer = LSTM(5, 41, 2, dtype=dtype, rng=rng, tokens=tokens, **options)
        x = rng.integers(0, 5, (n, 20)) if tokens else rng.standard_normal((n, 20, 5)).astype(dtype)
        y, final = layer(x)
        stream = layer.stream(n)
        steps = np.stack([stream(x[:, t]) for t in range(20)], axis=1)
        assert same_bits([steps, *stream.state], [y, *final])


@a_few
def test_a_trace_of_a_variant_has_its_bits_and_the_gradients_of_its_gates(rng, variant, name):
    options = dict(SWITCHES[name])
    if options.pop("projection", False):
        options["projection_size"] = 7
    layer = LSTM(4, 11, dtype="float64", rng=rng, **options)
    x, lengths, dy = rng.standard_normal((5, 9, 4)), np.array([9, 3, 0, 7, 5]), rng.standard_normal((5, 9, 7))
    dy = dy if "projection_size" in options else rng.standard_normal((5, 9, 11))
    y, trace = layer.trace(x, lengths=lengths)
    assert same_bits([y], [layer(x, lengths=lengths)[0]])
    recurrence.use_engine("numpy")
    slow, expected = layer.trace(x, lengths=lengths)
    np.testing.assert_allclose(y, slow, rtol=0, atol=1e-12)
    got, wanted = trace.gradients(dy), expected.gradients(dy)
    assert got.keys() == wanted.keys()
    for key, value in got.items():
        np.testing.assert_allclose(value, wanted[key], rtol=0, atol=1e-10, err_msg=str(key))


def test_what_is_only_padding_may_run_away_and_reaches_nothing(rng, variant):
    """Units beyond the last that there is see nothing but the activations' own constants."""
    grows = Activation("Affine", 1.0, 3.0)
    switches = Variant(gate_activation=grows, input_activation=grows, output_activation=Activation("Tanh"))
    SWITCHES["growing"] = switches.changed()
    try:
        batch = batch_of(rng, "growing", 3, 1100, 2, 5)
    finally:
        del SWITCHES["growing"]
    batch.weights[2][...] = -3.0  # what there is stands still
    for weight in batch.weights[:2]:
        weight *= 1e-3
    got = everything(native(variant, switches), batch)
    assert all(np.isfinite(value).all() for key, value in got.items())


def test_nan_stays_in_its_row_of_a_variant(rng, variant):
    for name in ("all", "Keras relu", "HardSigmoid gates", "Softplus in", "Elu out"):
        batch = batch_of(rng, name, 9, 15, 4, 21)
        batch.lengths = None
        spoilt = dataclasses.replace(batch, x=batch.x.copy())
        spoilt.x[4, 6, 2] = np.nan
        cell, others = native(variant, batch.variant), np.arange(9) != 4
        clean, got = everything(cell, batch), everything(cell, spoilt)
        for key in clean:
            if not key.startswith("d "):
                assert same_bits([clean[key][others]], [got[key][others]]), key
        assert np.isnan(got["y"][4, 6:]).all()


def test_variants_that_only_numpy_has_run_there(variant):
    for switch in ({"layer_norm": "cell"}, {"zoneout": (0.1, 0.0)}, {"full_gate_recurrence": True}):
        switches = Variant(**switch)
        assert recurrence.engines()[variant].lstm_variant(switches) is stepwise_cell(LSTMEquations(switches))


def test_activations_are_counted_as_the_header_counts_them():
    header = (Path(__file__).parent.parent / "native" / "compuerta.h").read_text(encoding="utf-8")
    names = re.search(r"enum \{ (AFFINE[^}]*) \}", header).group(1).split(",")
    assert [name.strip().replace("_", "").lower() for name in names] == [a.lower() for a in native_variant.ACTIVATIONS]
    assert set(native_variant.ACTIVATIONS) <= set(ACTIVATIONS)
