"""Optimizers, clipping and schedules against PyTorch's numbers and the papers' equations."""

import math
from pathlib import Path

import numpy as np
import pytest

from compuerta import recurrence
from compuerta.errors import SettingError
from compuerta.recurrence import numpy_training
from compuerta.training import SGD, Adam, AdamW, Constant, Cosine, Steps, clip_by_global_norm

GOLDEN = Path(__file__).parent / "golden" / "optimizers.npz"
CASES = {
    "sgd": lambda: SGD(),
    "sgd_momentum": lambda: SGD(0.9),
    "sgd_decay": lambda: SGD(weight_decay=0.1),
    "sgd_momentum_decay": lambda: SGD(0.7, 0.05),
    "adam": lambda: Adam(),
    "adam_other": lambda: Adam(0.5, 0.9, 1e-3),
    "adam_decay": lambda: Adam(weight_decay=0.1),
    "adamw": lambda: AdamW(),
    "adamw_other": lambda: AdamW(0.8, 0.95, 1e-6, 0.3),
}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def test_every_golden_case_is_used(golden):
    assert {key.split("/")[0] for key in golden if "/" in key} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch(case, golden):
    optimizer, theta = CASES[case](), golden["start"].copy()
    for k, (gradient, rate) in enumerate(zip(golden["gradients"], golden["rates"], strict=True), 1):
        optimizer.step(theta, gradient.copy(), float(rate))
        np.testing.assert_allclose(theta, golden[f"{case}/parameters"][k], rtol=1e-12, atol=1e-14)
    assert optimizer.updates == 20
    assert np.abs(theta - golden["start"]).max() > 0.1


def test_clipping_equals_pytorch(golden):
    acted = 0
    for gradient, norm, expected in zip(golden["gradients"], golden["norms"], golden["clipped"], strict=True):
        g = gradient.copy()
        assert clip_by_global_norm(g, 2.0) == pytest.approx(norm, rel=1e-14)
        np.testing.assert_allclose(g, expected, rtol=2e-6)  # PyTorch divides by the norm + 1e-6
        if norm > 2:
            acted += 1
            assert np.linalg.norm(g) == pytest.approx(2.0, rel=1e-14)
        else:
            np.testing.assert_array_equal(g, gradient)
        np.testing.assert_allclose(g / np.linalg.norm(g), gradient / norm, rtol=1e-12)
    assert 0 < acted < 20


def test_clipping_leaves_what_it_should():
    g = np.array([3.0, -4.0], np.float32)
    assert clip_by_global_norm(g, None) == 5.0
    assert clip_by_global_norm(g, 5.0) == 5.0
    np.testing.assert_array_equal(g, np.array([3.0, -4.0], np.float32))
    assert clip_by_global_norm(g, 0.5) == 5.0
    np.testing.assert_allclose(g, [0.3, -0.4], rtol=1e-6)
    assert g.dtype == np.float32
    assert clip_by_global_norm(np.empty(0), 1.0) == 0.0
    for bad in (np.nan, np.inf):
        g = np.array([1.0, bad])
        assert not math.isfinite(clip_by_global_norm(g, 1.0))
        np.testing.assert_array_equal(g, [1.0, bad])


# ---- the block ------------------------------------------------------------------------------------------------------


def adam_by_the_paper(theta, gradients, rate, b1, b2, eps, decay, decoupled):
    """Kingma and Ba, algorithm 1; Loshchilov and Hutter, algorithm 2. Whole arrays, every quantity a new one."""
    m = v = np.zeros_like(theta)
    for k, g in enumerate(gradients, 1):
        if decoupled:
            theta = theta - rate * decay * theta
        else:
            g = g + decay * theta
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        theta = theta - rate * (m / (1 - b1**k)) / (np.sqrt(v / (1 - b2**k)) + eps)
    return theta


@pytest.mark.parametrize("extra", [-1, 0, 1, 7])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("engine", recurrence.engines())
def test_parameters_across_blocks(numpy_engine, engine, extra, decoupled, rng):
    recurrence.use_engine(engine)
    size = 2 * numpy_training._BLOCK + extra
    theta, gradients = rng.normal(size=size), rng.normal(size=(3, size))
    optimizer = (AdamW if decoupled else Adam)(0.8, 0.97, 1e-6, 0.2)
    mine = theta.copy()
    for gradient in gradients:
        optimizer.step(mine, gradient.copy(), 0.03)
    expected = adam_by_the_paper(theta, gradients, 0.03, 0.8, 0.97, 1e-6, 0.2, decoupled)
    np.testing.assert_allclose(mine, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_a_block_changes_no_bit(numpy_engine, make, rng, monkeypatch):
    theta, gradients = rng.normal(size=1000).astype(np.float32), rng.normal(size=(4, 1000)).astype(np.float32)
    ends = []
    for block in (1 << 15, 64, 999):
        monkeypatch.setattr(numpy_training, "_BLOCK", block)
        optimizer, mine = make(), theta.copy()
        for gradient in gradients:
            optimizer.step(mine, gradient.copy(), 0.01)
        ends.append(mine)
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])
    assert ends[0].dtype == np.float32
    assert np.abs(ends[0] - theta).max() > 1e-3


# ---- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_arrays_and_updates_are_the_whole_memory(make, golden):
    """An optimizer made anew from them goes on to the same bits: all that a checkpoint needs."""
    first, theta = make(), golden["start"].copy()
    for gradient in golden["gradients"][:9]:
        first.step(theta, gradient.copy(), 0.05)
    second, other = type(first)(**first.config()), theta.copy()
    second.updates = first.updates
    second.arrays = {name: array.copy() for name, array in first.arrays.items()}
    for gradient in golden["gradients"][9:]:
        first.step(theta, gradient.copy(), 0.05)
        second.step(other, gradient.copy(), 0.05)
    np.testing.assert_array_equal(theta, other)


def test_adamw_at_rate_zero_does_not_learn_its_own_decay():
    """Decoupled decay never enters the gradient's averages, whatever the rate is."""
    optimizer, theta = AdamW(weight_decay=0.5), np.array([1.0, -2.0])
    optimizer.step(theta, np.array([0.3, 0.1]), 0.0)
    np.testing.assert_array_equal(theta, [1.0, -2.0])
    np.testing.assert_allclose(optimizer.arrays["m"], [0.03, 0.01], rtol=1e-12)
    np.testing.assert_allclose(optimizer.arrays["v"], [9e-5, 1e-5], rtol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(momentum=-0.1), lambda: SGD(momentum=1.1), lambda: SGD(weight_decay=-1), lambda: SGD(math.nan),
        lambda: Adam(beta1=-0.1), lambda: Adam(beta2=1.5), lambda: Adam(beta1=1.0), lambda: Adam(beta2=1.0),
        lambda: Adam(epsilon=-1e-8), lambda: Adam(weight_decay=math.inf), lambda: AdamW(weight_decay="a lot"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_before_any_step(make):
    with pytest.raises(SettingError, match="must be a finite number"):
        make()


# ---- schedules ------------------------------------------------------------------------------------------------------


def test_constant():
    assert [Constant()(k, 9) for k in range(9)] == [1.0] * 9
    assert [Constant(warmup=3)(k, 9) for k in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_against_the_closed_form():
    for warmup, floor, updates in [(0, 0.0, 10), (4, 0.1, 20), (0, 0.5, 1)]:
        schedule = Cosine(warmup, floor)
        for k in range(updates):
            if k < warmup:
                expected = (k + 1) / warmup
            else:  # cos² of half the angle, which is another way to write half a cosine
                expected = floor + (1 - floor) * math.cos(math.pi / 2 * (k - warmup) / (updates - warmup)) ** 2
            assert schedule(k, updates) == pytest.approx(expected, abs=1e-15)
    assert Cosine(floor=0.2)(10, 10) == pytest.approx(0.2)
    assert Cosine(floor=0.2)(99, 10) == pytest.approx(0.2)  # past the end it stays


def test_steps():
    assert [Steps(2, 0.1)(k, 6) for k in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("make", [lambda: Steps(0), lambda: Steps(-2), lambda: Cosine(warmup=-1), lambda: Constant(-1)])
def test_schedules_refuse_what_makes_no_sense(make):
    with pytest.raises(SettingError):
        make()
