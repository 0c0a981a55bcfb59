"""ONNX's LSTM, GRU and RNN: the standard's own node tests, ONNX Runtime on drawn configurations, and what neither
tries: float64, lengths of 0, layout 1, refusals."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from compuerta import errors
from compuerta.interop.onnx import gru, lstm, rnn

OPERATORS = {"LSTM": (lstm, 4), "GRU": (gru, 3), "RNN": (rnn, 1)}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
T, N, F, H = 5, 3, 2, 4


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parent.parent / "benchmarks" / "onnx_operators.py"
    spec = importlib.util.spec_from_file_location("onnx_operators", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(rng, op, d=1, **more):
    blocks = OPERATORS[op][1]
    shapes = {"X": (T, N, F), "W": (d, blocks * H, F), "R": (d, blocks * H, H), "B": (d, 2 * blocks * H),
              "initial_h": (d, N, H)}  # fmt: skip
    if op == "LSTM":
        shapes |= {"initial_c": (d, N, H), "P": (d, 3 * H)}
    return {k: 0.7 * rng.standard_normal(shape) for k, shape in shapes.items()} | more


# ---- the standard's own node tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPERATORS)
def test_node_tests_of_the_standard(op, monkeypatch):
    module = importlib.import_module(f"onnx.backend.test.case.node.{op.lower()}")
    cases = []
    monkeypatch.setattr(module, "expect", lambda node, inputs, outputs, name: cases.append((node, inputs, outputs)))
    made = getattr(module, op)
    for export in (getattr(made, name) for name in dir(made) if name.startswith("export")):
        export()
    assert len(cases) == 6
    for node, inputs, outputs in cases:
        given = dict(zip([k for k, name in zip(INPUTS, node.input, strict=False) if name], inputs, strict=True))
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
        got = OPERATORS[op][0](**given, **attributes)
        got = [array for array, name in zip(got, node.output, strict=False) if name]
        for array, expected in zip(got, outputs, strict=True):
            assert array.dtype == expected.dtype
            assert array.shape == expected.shape
            np.testing.assert_allclose(array, expected, rtol=0, atol=1e-6)


# ---- ONNX Runtime ---------------------------------------------------------------------------------------------------


def test_onnx_runtime_on_drawn_configurations(benchmark):
    worst, counts, redrawn = benchmark.compare(400, 4)
    assert worst <= 2e-6
    assert min(counts[op] for op in OPERATORS) > 80
    assert redrawn < 200


def test_what_is_said_of_onnx_runtime_is_so(benchmark, rng):
    """If one of these fails, ONNX Runtime has changed, and the comparison may leave out less."""
    single = {k: v.astype(np.float32) for k, v in draw(rng, "GRU").items()}
    attributes = {"hidden_size": H, "direction": "forward"}
    with pytest.raises(Exception, match="layout"):
        benchmark.runtime("GRU", single, attributes | {"layout": 1})
    empty = single | {"sequence_lens": np.array([T, 0, 2], np.int32)}
    assert not benchmark.runtime("GRU", empty, attributes)[1][:, 1].any()
    assert np.array_equal(gru(**empty)[1][:, 1], single["initial_h"][:, 1])
    nan = single | {"X": np.full((T, N, F), np.nan, np.float32)}
    assert np.isfinite(benchmark.runtime("GRU", nan, attributes)[0]).all()
    assert np.isnan(gru(**nan)[0]).all()


# ---- properties -----------------------------------------------------------------------------------------------------

ATTRIBUTES = {
    "LSTM": ({}, {"clip": 0.5, "input_forget": 1, "activations": ["Softsign", "Elu", "ScaledTanh"]}),
    "GRU": ({}, {"linear_before_reset": 1}, {"clip": 0.5, "activations": ["HardSigmoid", "Softsign"]}),
    "RNN": ({}, {"clip": 0.5, "activations": ["Softplus"]}),
}
CASES = [(op, attributes) for op, each in ATTRIBUTES.items() for attributes in each]


@pytest.mark.parametrize(("op", "attributes"), CASES)
def test_directions_layouts_and_lengths(rng, op, attributes):
    """Both directions are the two alone; reverse is forward on the valid part turned round; layout 1 is transposed."""
    run = OPERATORS[op][0]
    lengths = np.array([5, 0, 3])
    inputs = draw(rng, op, d=2)
    twice = attributes | ({"activations": attributes["activations"] * 2} if "activations" in attributes else {})
    both = run(**inputs, sequence_lens=lengths, direction="bidirectional", **twice)
    other = {k: v if k in ("W", "R", "B", "P") else v.swapaxes(0, 1) for k, v in inputs.items()}
    turned = run(**other, sequence_lens=lengths, direction="bidirectional", layout=1, **twice)
    np.testing.assert_array_equal(turned[0], both[0].transpose(2, 0, 1, 3))
    for one, two in zip(turned[1:], both[1:], strict=True):
        np.testing.assert_array_equal(one.swapaxes(0, 1), two)
    for d, direction in enumerate(("forward", "reverse")):
        alone = {k: v if k == "X" else v[d : d + 1] for k, v in inputs.items()}
        y, *state = run(**alone, sequence_lens=lengths, direction=direction, **attributes)
        np.testing.assert_array_equal(y[:, 0], both[0][:, d])
        for n, length in enumerate(lengths):
            x = inputs["X"][:length, n : n + 1][:: -1 if d else 1]
            row = {k: v[:, n : n + 1] if k.startswith("initial") else v for k, v in alone.items()} | {"X": x}
            expected, *final = run(**row, **attributes)
            np.testing.assert_allclose(y[:length, 0, n], expected[:: -1 if d else 1, 0, 0], rtol=0, atol=1e-13)
            assert not y[length:, 0, n].any()
            for part, last in zip(state, final, strict=True):
                np.testing.assert_allclose(part[0, n], last[0, 0], rtol=0, atol=1e-13)
                first = alone["initial_h" if part is state[0] else "initial_c"][0, n]
                assert length or np.array_equal(part[0, n], first)


@pytest.mark.parametrize(("op", "attributes"), CASES)
def test_types(rng, op, attributes):
    """float64 stays, float32 is near it, float16 is the float32 result rounded; what is left out is zero."""
    run, inputs = OPERATORS[op][0], draw(rng, op)
    exact = run(**inputs, **attributes)
    single = run(**{k: v.astype(np.float32) for k, v in inputs.items()}, **attributes)
    halves = {k: v.astype(np.float16) for k, v in inputs.items()}
    half = run(**halves, **attributes)
    upcast = run(**{k: v.astype(np.float32) for k, v in halves.items()}, **attributes)
    for a, b, c, d in zip(exact, single, half, upcast, strict=True):
        assert (a.dtype, b.dtype, c.dtype) == (np.float64, np.float32, np.float16)
        np.testing.assert_allclose(b, a, rtol=0, atol=2e-6)
        np.testing.assert_array_equal(c, d.astype(np.float16))
    bare = {k: inputs[k] for k in ("X", "W", "R")}
    zeros = {k: np.zeros_like(v) for k, v in inputs.items() if k not in bare}
    for a, b in zip(run(**bare, **attributes), run(**bare, **zeros, **attributes), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-15)
    before = {k: v.copy() for k, v in inputs.items()}
    run(**inputs, **attributes)
    assert all(np.array_equal(v, before[k]) for k, v in inputs.items())


@pytest.mark.parametrize("op", OPERATORS)
def test_no_rows_and_no_steps(rng, op):
    run, inputs = OPERATORS[op][0], draw(rng, op)
    y, *state = run(**inputs | {"X": np.zeros((0, N, F))})
    assert y.shape == (0, 1, N, H)
    assert np.array_equal(state[0], inputs["initial_h"])
    nobody = {k: v[:, :0] if k in ("X", "initial_h", "initial_c") else v for k, v in inputs.items()}
    assert [a.shape for a in run(**nobody)] == [(T, 1, 0, H)] + [(1, 0, H)] * len(state)


# ---- refusals -------------------------------------------------------------------------------------------------------

WRONG = [
    ({"X": np.zeros((T, F))}, errors.ShapeError, r"X must have the shape \(T, N, F\); got \(5, 2\)"),
    ({"X": np.zeros((T, N, F), complex)}, errors.DTypeError, "X"),
    ({"W": np.zeros((1, 4 * H, 7))}, errors.ShapeError, r"W must have the shape \(D, G·H, F\) = \(1, 16, 2\); got"),
    ({"W": np.zeros((2, 4 * H, F))}, errors.ShapeError, "W must"),
    ({"R": np.zeros((1, 3 * H, H))}, errors.ShapeError, "R must"),
    ({"B": np.zeros((1, 4 * H))}, errors.ShapeError, "B must"),
    ({"P": np.zeros((1, 4 * H))}, errors.ShapeError, r"P must have the shape \(D, 3·H\) = \(1, 12\)"),
    ({"initial_h": np.zeros((N, 1, H))}, errors.ShapeError, r"initial_h must have the shape \(D, N, H\)"),
    ({"initial_c": np.zeros((1, N, 1))}, errors.ShapeError, "initial_c must"),
    ({"sequence_lens": [1, 2]}, errors.ShapeError, "sequence_lens"),
    ({"sequence_lens": [1, 2, 6]}, errors.ShapeError, "sequence_lens"),
    ({"sequence_lens": [1.0, 2.0, 3.0]}, errors.ShapeError, "sequence_lens"),
    ({"hidden_size": 5}, errors.ShapeError, "R must"),
    ({"hidden_size": 0}, errors.ShapeError, "hidden_size"),
    ({"direction": "backward"}, errors.SettingError, "direction must be one of forward, reverse, bidirectional"),
    ({"direction": "bidirectional"}, errors.ShapeError, "R must"),
    ({"layout": 2}, errors.SettingError, "layout must be one of 0, 1; got 2"),
    ({"layout": 1}, errors.ShapeError, "initial_h must"),
    ({"clip": 0.0}, errors.SettingError, "clip"),
    ({"clip": np.nan}, errors.SettingError, "clip"),
    ({"input_forget": 2}, errors.SettingError, "input_forget"),
    ({"activations": ["Tanh", "Gelu", "Tanh"]}, errors.SettingError, "no activation 'Gelu'.* ThresholdedRelu"),
    ({"activations": ["Identity"] * 3}, errors.SettingError, "no activation 'Identity'"),
    ({"activations": [None] * 3}, errors.SettingError, "no activation None"),
    ({"activations": ["Tanh"]}, errors.SettingError, "must name 3 functions"),
    ({"activation_alpha": [0.3]}, errors.SettingError, r"activation_alpha holds \[0.3\] more"),
    ({"activations": ["Elu"] * 3, "activation_beta": [0.3]}, errors.SettingError, "activation_beta"),
    ({"activations": ["Elu"] * 3, "activation_alpha": [np.nan]}, errors.SettingError, "alpha"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "words"), WRONG)
def test_what_does_not_fit_is_named(rng, change, kind, words):
    inputs = draw(rng, "LSTM")
    with pytest.raises(kind, match=f"LSTM: .*{words}" if "activation_alpha" not in change else words):
        lstm(**inputs | change)


def test_names_in_any_case_and_numbers_in_order(rng):
    """Alpha goes to the functions that have one, in order; where it runs out the default holds."""
    inputs = draw(rng, "LSTM")
    plain = inputs | {"activations": ["HardSigmoid", "Tanh", "Elu"], "activation_beta": [0.4]}
    named = lstm(**inputs, activations=["hardSIGMOID", "tanh", "elu"], activation_alpha=[0.3], activation_beta=[0.4])
    same, other = (lstm(**plain, activation_alpha=[0.3, alpha]) for alpha in (1.0, 0.5))
    assert np.array_equal(named[0], same[0])
    assert not np.array_equal(named[0], other[0])


def test_the_operators_need_no_onnx():
    program = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxruntime'] = None\n"
        "from compuerta.interop.onnx import rnn\nimport numpy as np\n"
        "print(rnn(np.ones((1, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1)))[0].item())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) == np.tanh(1)
