"""The registry of formats: which one a name or a file's content means, and what each takes and tells."""

import numpy as np
import pytest

import compuerta
from compuerta import files
from compuerta.errors import FileFormatError, SettingError
from compuerta.interop import archive, formats, pytorch
from compuerta.layers import LSTM
from interop_cases import FILES, randomized, same


def test_names_choose_the_format_to_write():
    for format, name in FILES.items():
        assert formats.target(name).name == format.split()[0]
        assert formats.target(name.upper()).name == format.split()[0]
    with pytest.raises(SettingError, match=r"end it in one of .*\.keras"):
        formats.target("model.zip")
    with pytest.raises(SettingError, match="format must be one of compuerta, pytorch"):
        formats.named("caffe")


def test_a_class_may_be_asked_for(tmp_path):
    file = tmp_path / "m.pytorch.safetensors"
    compuerta.interop.write(LSTM(3, 4, rng=0), file)
    assert compuerta.interop.read(file, kind=LSTM).hidden_size == 4
    with pytest.raises(FileFormatError, match="holds LSTM, not GRU"):
        compuerta.interop.read(file, kind=compuerta.GRU)


def test_content_goes_before_the_name(tmp_path, rng):
    model = randomized(LSTM(3, 4), rng)
    compuerta.interop.write(model, tmp_path / "m.keras")
    (tmp_path / "m.keras").rename(tmp_path / "m.pt")
    assert formats.find(tmp_path / "m.pt").name == "keras"
    same(compuerta.interop.read(tmp_path / "m.pt"), model)
    with pytest.raises(FileFormatError, match=r"is no archive that can be read|is not a"):
        compuerta.interop.read(tmp_path / "m.pt", "flax")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(FileFormatError, match="is in no format that compuerta reads"):
        compuerta.interop.read(tmp_path / "a.txt")


def test_a_length_that_looks_like_a_pickle(tmp_path):
    from safetensors.numpy import save_file

    arrays = pytorch.to_state_dict(LSTM(3, 4, rng=0))
    for k in range(200):  # until the length of the header, which stands first, begins like a pickle's protocol
        save_file(arrays, tmp_path / "m.safetensors", {"x": "x" * k})
        if (tmp_path / "m.safetensors").read_bytes()[0] == 0x80:
            break
    else:
        pytest.fail("no header of such a length")
    assert formats.find(tmp_path / "m.safetensors").name == "pytorch"
    assert compuerta.interop.read(tmp_path / "m.safetensors").hidden_size == 4


def test_options_that_a_format_does_not_take_are_refused(tmp_path, rng):
    compuerta.interop.write(LSTM(3, 4, rng=0), tmp_path / "m.keras")
    with pytest.raises(SettingError, match="Keras has no option forget_bias"):
        compuerta.interop.read(tmp_path / "m.keras", forget_bias=1.0)
    with pytest.raises(SettingError, match="has no option map"):
        compuerta.interop.read(tmp_path / "m.keras", map="a,b")
    with pytest.raises(SettingError, match="has no option map"):
        compuerta.interop.write(LSTM(3, 4, rng=0), tmp_path / "m.keras", map="a,b")
    with pytest.raises(SettingError, match=r"does not write \.pt"):
        compuerta.interop.write(LSTM(3, 4, rng=0), tmp_path / "m.pt")


def test_every_format_describes_its_files(tmp_path, rng):
    model = randomized(LSTM(3, 4), rng)
    for name in FILES.values():
        compuerta.interop.write(model, tmp_path / name)
        description = formats.find(tmp_path / name).adapter.describe(str(tmp_path / name))
        assert description.tensors
        assert sum(int(np.prod(shape)) for _, shape in description.tensors.values()) >= model.parameters.size
        assert {dtype for dtype, _ in description.tensors.values()} == {"float32"}


def test_archives_of_numpy_are_read_as_numpy_reads_them(tmp_path, rng):
    fortran = np.asfortranarray(rng.standard_normal((4, 3)))
    arrays = {"a": rng.standard_normal((2, 3)), "b/c": fortran, "d": np.arange(3), "e": np.float32(2.5)}
    arrays["f"] = np.zeros((0, 2))
    np.savez_compressed(tmp_path / "m.npz", **arrays)
    for name, value in archive.read_npz(str(tmp_path / "m.npz")).items():
        assert np.array_equal(value, arrays[name])
        assert value.dtype == np.asarray(arrays[name]).dtype
    archive.write_npz(str(tmp_path / "n.npz"), arrays)
    with np.load(tmp_path / "n.npz") as file:
        assert {name: file[name].tolist() for name in file} == {k: np.asarray(v).tolist() for k, v in arrays.items()}
    with pytest.raises(SettingError, match="cannot be called"):
        archive.write_npz(str(tmp_path / "n.npz"), {"../a": arrays["a"]})


def test_a_header_as_long_as_a_pickle_begins(tmp_path):
    """The first byte of a safetensors file is the low one of a length, and may be that of a pickle."""
    for extra in range(256):
        files.write_plain(
            tmp_path / "m.safetensors", {"weight": np.ones((2, 3)), "bias": np.ones(2)}, {"x": "x" * extra}
        )
        head = (tmp_path / "m.safetensors").read_bytes()[:2]
        if head[0] == 0x80:
            break
    assert head[0] == 0x80
    assert head[1] <= 5
    assert pytorch.read(str(tmp_path / "m.safetensors")).name == "Dense"
