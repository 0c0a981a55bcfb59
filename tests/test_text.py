"""Reading texts, and characters as numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compuerta.data import Vocabulary, read_text
from compuerta.errors import DataError, DTypeError, SettingError, ShapeError


def written(tmp_path, raw):
    path = tmp_path / "a.txt"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("año\n".encode(), "año\n"),
        (b"\xef\xbb\xbfuno", "uno"),
        (b"uno\r\ndos\rtres\n\r\n", "uno\ndos\ntres\n\n"),
        ("\U0001f600 \ufeff".encode(), "\U0001f600 \ufeff"),
        ("año\r\n".encode("utf-16"), "año\n"),
        (b"\xfe\xff" + "año\r\n".encode("utf-16-be"), "año\n"),
        ("\ufeffaño".encode("utf-32"), "\ufeffaño"),
        ("año".encode("latin-1"), "año"),
        ("Ventas (\u20ac)\n".encode("cp1252"), "Ventas (\u20ac)\n"),
    ],
)
def test_reads(tmp_path, raw, text):
    assert read_text(written(tmp_path, raw)) == text
    assert read_text(str(tmp_path / "a.txt")) == text


@pytest.mark.parametrize(
    ("raw", "key", "offset"),
    [
        (b"", "error.text.empty", None),
        (b"\xef\xbb\xbf", "error.text.empty", None),
        (b"a\x81o", "error.text.utf8", 1),  # no character of Windows-1252
        (b"a\xf1o\x01", "error.text.utf8", 3),
        ("\u00e1" * 1000 + "x", "error.text.utf8", 2001),
        (b"\xef\xbb\xbfab\xff", "error.text.utf8", 5),
        (b"\xff\xfea\0\0", "error.text.encoding", 4),
        ("ano".encode("utf-16-le"), "error.text.nul", 1),
        (b"\xef\xbb\xbfab\0", "error.text.nul", 5),
    ],
)
def test_refuses_with_the_offset(tmp_path, raw, key, offset):
    if isinstance(raw, str):
        raw = raw.encode() + b"\x80"
    with pytest.raises(DataError) as caught:
        read_text(written(tmp_path, raw))
    assert caught.value.key == key
    assert caught.value.values.get("offset") == offset
    for lang in ("en", "es"):
        assert "a.txt" in caught.value.text(lang)


def test_a_missing_file_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none.txt")


any_text = st.text(st.characters(exclude_categories=()), min_size=1)  # lone surrogates too


@given(any_text)
def test_encode_is_the_place_among_the_sorted_characters(text):
    vocabulary = Vocabulary(text)
    characters = sorted(set(text))
    assert vocabulary.characters == "".join(characters)
    assert vocabulary.size == len(vocabulary) == len(characters)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32
    assert ids.tolist() == [characters.index(character) for character in text]
    assert vocabulary.decode(ids) == text
    assert Vocabulary(vocabulary.characters) == vocabulary


@given(any_text, st.text(st.characters(exclude_categories=())))
def test_unknown_characters(known, text):
    vocabulary = Vocabulary(known)
    kept = "".join(character for character in text if character in known)
    assert vocabulary.decode(vocabulary.encode(text, unknown="skip")) == kept
    if kept == text:
        assert vocabulary.decode(vocabulary.encode(text)) == text
        return
    first = next(k for k, character in enumerate(text) if character not in known)
    with pytest.raises(DataError) as caught:
        vocabulary.encode(text)
    assert caught.value.values == {
        "character": repr(text[first]),
        "code": f"U+{ord(text[first]):04X}",
        "position": first,
    }


def test_membership_and_equality():
    vocabulary = Vocabulary("hola")
    assert "h" in vocabulary
    assert "ho" not in vocabulary
    assert "" not in vocabulary
    assert 3 not in vocabulary
    assert vocabulary == Vocabulary("aloh")
    assert hash(vocabulary) == hash(Vocabulary("aloh"))
    assert vocabulary != Vocabulary("hol")
    assert vocabulary != "hola"
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.decode([]) == ""


def test_refusals():
    vocabulary = Vocabulary("abc")
    with pytest.raises(DataError):
        Vocabulary("")
    with pytest.raises(SettingError):
        vocabulary.encode("a", unknown="error")
    with pytest.raises(DTypeError):
        vocabulary.decode([0.5])
    for ids in ([3], [-1], [[0, 1]]):
        with pytest.raises(ShapeError):
            vocabulary.decode(ids)


def test_every_other_code_point_is_unknown():
    known = "aé€\U0001f600"
    everything = "".join(map(chr, range(0x110000)))
    assert Vocabulary(known).encode(everything, unknown="skip").tolist() == [0, 1, 2, 3]
