"""What is read once, from wherever it comes: files, folders, pipes and devices give the same, or are refused."""

import io
import os
import sys
import threading

import numpy as np
import pytest

from compuerta.data import Source, Text, looks_like_series, read_series, read_text
from compuerta.data import source as source_module
from compuerta.errors import DataError, SettingError
from csv_shapes import CASES, Right

LONG = "".join(f"línea {k} — ñandú\n" for k in range(9000))  # far more than what tells the kind of a file


def fed(path, raw):
    """Write to a FIFO from another thread, as another program would."""
    thread = threading.Thread(target=lambda: path.write_bytes(raw), daemon=True)
    thread.start()
    return thread


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_pipe_gives_what_the_file_gives(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = fed(pipe, LONG.encode())
    with Source(pipe) as source:
        assert not looks_like_series(source)
        text = Text.read(source)
    thread.join()
    assert str(text) == LONG
    rows = "d,x\n" + "".join(f"{k},{k * k % 101}\n" for k in range(30_000))
    thread = fed(pipe, rows.encode())
    with Source(pipe) as source:
        assert looks_like_series(source)
        series = read_series(source)
    thread.join()
    assert series.values.tolist() == [k * k % 101 for k in range(30_000)]


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LONG.encode("cp1252"))))
    source = Source("-")
    assert not looks_like_series(source)
    assert read_text(source) == LONG
    assert [note.key for note in source.notes] == ["input.encoding"]
    assert "entrada estándar" in source.called("es")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no devices here")
def test_what_never_ends_is_bounded(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="NUL byte at offset 0"):
        read_text("/dev/zero")
    monkeypatch.setattr(source_module, "_ENDLESS", 1 << 20)
    reader, writer = os.pipe()

    def write():
        with os.fdopen(writer, "wb") as file:
            try:
                while True:
                    file.write(b"y\n" * 65_536)
            except BrokenPipeError:
                pass

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    with pytest.raises(DataError, match="goes on"):
        read_text(f"/dev/fd/{reader}")
    os.close(reader)
    thread.join()


def test_several_files_and_folders(tmp_path):
    folder = tmp_path / "textos"
    folder.mkdir()
    (folder / "b.txt").write_text("dos\n")
    (folder / "a.txt").write_text("uno")
    (folder / "c.pdf").write_bytes(b"\0")
    text = Text.read(folder)
    assert str(text) == "uno\ndos\n"  # files do not run into one another
    assert text.notes[0].values == {"path": str(folder), "texts": 2, "others": 1}
    assert str(Text.read(Source(folder / "b.txt", folder / "a.txt"))) == "dos\nuno"
    with pytest.raises(DataError, match="one table"):
        read_series(Source(folder / "b.txt", folder / "a.txt"))
    empty = tmp_path / "vacía"
    empty.mkdir()
    with pytest.raises(DataError, match=r"files that end in \.txt"):
        read_text(empty)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("raw", "text", "encoding"),
    [
        ("año — €\r\n".encode(), "año — €\n", None),
        ("\ufeffaño\r".encode(), "año\n", None),
        ("año — €\r\n".encode("utf-16"), "año — €\n", None),
        ("año — €\r\n".encode("utf-16-be"), "año — €\n", "utf-16-be"),
        ("😀\r\n\r".encode("utf-32"), "😀\n\n", None),
        ("ascii, then año €\n".encode("cp1252"), "ascii, then año €\n", None),
        ("¿qué?".encode("cp850"), "¿qué?", "cp850"),
        ("año".encode(), "aÃ±o", "cp1252"),
    ],
)
def test_pieces_of_any_size_give_the_same_text(tmp_path, monkeypatch, size, raw, text, encoding):
    """Characters and line ends are cut anywhere, but for the byte order mark, which comes with the beginning."""
    monkeypatch.setattr(source_module, "_HEAD", 4)
    monkeypatch.setattr(source_module, "_PIECE", size)
    path = tmp_path / "a.txt"
    path.write_bytes(raw)
    assert read_text(path, encoding) == text
    read = Text.read(path, encoding)
    assert (str(read), read.sha256) == (text, Text.of(text).sha256)


@pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13", ""])
def test_an_encoding_that_is_none(tmp_path, encoding):
    with pytest.raises(SettingError, match="encoding"):
        read_text(tmp_path / "a.txt", encoding)


@pytest.mark.parametrize("distinct", [3, 256, 257, 70_000])
def test_a_text_takes_the_smallest_numbers(distinct, rng):
    codes = rng.integers(0, distinct, 200_000)
    codes[:distinct] = np.arange(distinct)[: len(codes)]
    text = "".join(chr(code + 32 + 0x900 * (code + 32 >= 0xD800)) for code in codes)
    read = Text.of(text)
    assert str(read) == text
    assert read.ids.dtype == np.min_scalar_type(distinct - 1)
    assert read.vocabulary.characters == "".join(sorted(set(text)))
    assert read.counts().sum() == len(text)
    assert read.counts()[:50].tolist() == [text.count(c) for c in read.vocabulary.characters[:50]]
    assert str(read[5:60]) == text[5:60]


def test_half_a_character_is_refused_at_the_start():
    with pytest.raises(DataError, match=r"U\+D83D.*position 4"):
        Text.of("uno \ud83d dos")


def test_unknown_characters_are_counted_left_out_or_replaced():
    vocabulary = Text.of("la luna? ñ").vocabulary
    text = "La Luná, ☃ñ"
    for given in (text, Text.of(text)):
        assert vocabulary.unknown(given) == {"L": 2, "á": 1, ",": 1, "☃": 1}
        assert vocabulary.decode(vocabulary.encode(given, "skip")) == "a un ñ"
        assert vocabulary.decode(vocabulary.encode(given, "replace")) == "la luna? ?ñ"
        with pytest.raises(DataError, match=r"'L' .* position 0"):
            vocabulary.encode(given)


def test_shapes_come_the_same_through_a_pipe(monkeypatch):
    for text, options, expected in CASES.values():
        if isinstance(expected, Right) and len(text) < 300:
            raw = text if isinstance(text, bytes) else text.encode()
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
            assert read_series("-", **options).values.tolist() == pytest.approx(expected.values)
