"""A product that is cut into pieces is the product whole: in every cell, with lengths, recorded or not."""

import numpy as np
import pytest

from compuerta import GRU, LSTM
from compuerta.recurrence import tiles

CELLS = {
    "lstm": lambda: LSTM(130, 256, rng=0),
    "gru_after": lambda: GRU(130, 256, rng=0),
    "gru_before": lambda: GRU(130, 256, reset_after=False, rng=0),
}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [None, [3] * 20 + [9] * 28], ids=["full", "lengths"])
def test_cut_is_whole(cell, lengths, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 9, 130)).astype(np.float32)
    dy = rng.normal(size=(48, 9, 256)).astype(np.float32)
    results = []
    for pays in (False, True):
        monkeypatch.setattr(tiles, "_cutting_pays", lambda pays=pays: pays)
        layer = CELLS[cell]()
        y, _, tape = layer.forward(x, lengths=lengths, record=True)
        assert np.array_equal(y, layer(x, lengths=lengths)[0])
        grads = layer.backward(tape, dy)
        results.append((y, grads.flat, grads.x))
    for whole, cut in zip(*results, strict=True):
        np.testing.assert_allclose(cut, whole, rtol=1e-4, atol=1e-4 * np.abs(whole).max())
