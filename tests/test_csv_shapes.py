"""A hundred shapes of CSV files: each is read right, with what it was taken for, or refused in the right sentence."""

import pytest

from compuerta.data import read_series
from compuerta.errors import DataError
from csv_shapes import CASES, Refused


def test_there_are_a_hundred():
    assert len(CASES) >= 100


@pytest.mark.parametrize("name", CASES)
def test_shape(name, tmp_path):
    text, options, expected = CASES[name]
    path = tmp_path / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if isinstance(expected, Refused):
        with pytest.raises(DataError) as caught:
            read_series(path, **options)
        assert caught.value.key == expected.key
        for lang in ("en", "es"):
            told = caught.value.text(lang).replace(str(path), "a.csv")
            assert "\n" not in told
            assert len(told) < 400
            for piece in expected.shows:
                assert piece in told
        return
    series = read_series(path, **options)
    assert series.values.tolist() == pytest.approx(expected.values, rel=1e-12)
    assert (series.dates and series.label(series.dates[0])) == expected.first
    assert series.period == expected.period
    assert ([] if series.missing is None else series.missing.nonzero()[0].tolist()) == expected.missing
    keys = [note.key for note in series.notes]
    assert any(key.startswith("input.read_as") for key in keys)
    assert ("input.dates" in keys) == (expected.first is not None)
    assert set(expected.notes) <= set(keys)
    for note in series.notes:
        for lang in ("en", "es"):
            assert note.text(lang)
