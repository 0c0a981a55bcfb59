"""Files from others are hostile until read: a typed error, nothing run, nothing allocated beyond the file and 64 MB."""

import io
import json
import os
import pickle
import stat
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import compuerta
from compuerta.errors import CompuertaError, FileFormatError
from compuerta.interop import formats, pytorch, torch_file
from compuerta.layers import LSTM, Dense, Embedding, Layer, Sequential

FOLDER = Path(__file__).parent / "golden" / "interop"
#: Numbers beside the files, and files that are to be refused.
OTHERS = {"pytorch.npz", "keras.npz", "jax.npz", "keras_own.npz", "keras_own.json", "keras_lambda.keras",
          "pytorch_whole_module.pt"}  # fmt: skip
READABLE = sorted(path.name for path in FOLDER.iterdir() if path.suffix != ".py" and path.name not in OTHERS)


@pytest.fixture
def refused(tmp_path):
    """Return a function that reads a file, expects a typed error within the bounds, and returns its sentence."""

    def check(path, data=None, *, within=5.0, **options):
        path = tmp_path / path
        if data is not None:
            path.write_bytes(data)
        before = set(tmp_path.iterdir())
        tracemalloc.start()
        started = time.perf_counter()
        try:
            with pytest.raises(FileFormatError) as error:
                compuerta.interop.read(path, **options)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert time.perf_counter() - started < within
        assert peak < path.stat().st_size + 64 * 2**20, f"{peak / 2**20:.0f} MiB for {path.stat().st_size:,} bytes"
        assert set(tmp_path.iterdir()) == before
        said = str(error.value)
        assert "\n" not in said
        assert len(said) < 2000
        return said

    return check


def zipped(entries, **options):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", **options) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of duplicate names
        for name, data in entries:
            archive.writestr(name, data)
    return made.getvalue()


# ---- 31, 39: damaged files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READABLE)
def test_every_truncation_is_refused(name, tmp_path):
    data = (FOLDER / name).read_bytes()
    path = tmp_path / name
    format = formats.find(FOLDER / name).name
    for length in {0, 7, 8, *range(1, len(data), max(1, len(data) // 25)), len(data) - 1}:
        path.write_bytes(data[:length])
        for chosen in (None, format):
            with pytest.raises(FileFormatError):
                compuerta.interop.read(path, chosen)


@pytest.mark.parametrize("name", READABLE)
def test_changed_bytes_are_refused_or_make_no_difference_that_is_not_told(name, tmp_path, rng):
    """Zips carry checksums; the others may have a number changed, and then still give a layer."""
    data = (FOLDER / name).read_bytes()
    path = tmp_path / name
    checked = not name.endswith((".safetensors", ".h5"))
    expected = compuerta.interop.read(FOLDER / name).parameters.flat
    for _ in range(40):
        changed = bytearray(data)
        at = rng.integers(len(data))
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model = compuerta.interop.read(path)
            except CompuertaError:
                continue
        assert isinstance(model, Layer)
        if checked:
            assert np.array_equal(model.parameters.flat, expected), f"byte {at} of {name}"


@pytest.mark.parametrize(
    "name", ["m.pt", "m.keras", "m.weights.h5", "m.flax.npz", "m.pytorch.safetensors", "m.karpathy.npz"]
)
@pytest.mark.parametrize("data", [b"", b"\x80\x02K\x01.", b"PK\x03\x04" + b"\0" * 60,
                                  b"\x89HDF\r\n\x1a\n" + b"\xff" * 100,
                                  b"\xff" * 8 + b"{}", b"\x05" + b"\0" * 7 + b'{"a":',
                                  b"PK\x05\x06" + b"\0" * 18])  # fmt: skip
def test_what_is_none_of_them(refused, name, data):
    refused(name, data)


def test_a_folder_a_fifo_and_nothing(tmp_path):
    os.mkfifo(tmp_path / "m.keras")
    with pytest.raises(FileFormatError, match="not a regular file"):
        compuerta.interop.read(tmp_path / "m.keras")
    with pytest.raises(IsADirectoryError):
        compuerta.interop.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        compuerta.interop.read(tmp_path / "nothing.pt")


# ---- 32 to 38: safetensors of others --------------------------------------------------------------------------------


def safetensors(header, data=b"\0" * 4):
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize("header", [
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,9]}}',
    '{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}', '{"a":1}', "[" * 5000, b"\xff{}",
    '{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', "{}",
])  # fmt: skip
def test_safetensors_that_are_made_up(refused, header):
    refused("m.pytorch.safetensors", safetensors(header), format="pytorch")


def test_a_hundred_thousand_tiny_tensors(refused):
    names = (f'"t{k}":{{"dtype":"F32","shape":[1],"data_offsets":[{4 * k},{4 * k + 4}]}}' for k in range(100_000))
    refused("m.safetensors", safetensors("{" + ",".join(names) + "}", b"\0" * 400_000), format="pytorch", within=20)


@pytest.mark.slow
def test_many_layers_in_no_order(refused):
    from safetensors.numpy import save

    rng = np.random.default_rng(0)
    arrays = {f"{rng.integers(2**60):x}.weight": np.zeros((2, 2), np.float32) for _ in range(400)}
    assert "no order" in refused("m.safetensors", save(arrays), within=20)
    few = dict(list(arrays.items())[:40]) | {"end.weight": np.zeros((3, 5), np.float32)}
    assert "no order" in refused("m.safetensors", save(few), within=20)


@pytest.mark.parametrize(
    "name", ["../../x", "", "a\0b", "/etc/passwd", "C:\\x", "\x1b[31mred", "lstm.weight_ih_l999999999999"]
)
def test_names_are_data_and_never_a_path(refused, name):
    arrays = {**pytorch.to_state_dict(LSTM(2, 3, rng=0)), name: np.zeros(1, np.float32)}
    with pytest.raises(FileFormatError):
        pytorch.from_state_dict(arrays)
    from safetensors.numpy import save

    refused("m.pytorch.safetensors", save(arrays))


def test_layer_numbers_do_not_count_up_to_the_sky(refused):
    from safetensors.numpy import save

    arrays = pytorch.to_state_dict(LSTM(2, 3, rng=0))
    arrays |= {f"weight_hh_l{10**6 - 1}": arrays["weight_hh_l0"]}
    assert "weight_hh_l999999" in refused("m.safetensors", save(arrays), format="pytorch")


# ---- 40: pickles ----------------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


def pt(program, storages=(), root="m"):
    entries = [(f"{root}/data.pkl", program), (f"{root}/byteorder", "little"), (f"{root}/version", "3\n")]
    return zipped([*entries, *((f"{root}/data/{k}", data) for k, data in storages)])


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_nothing_in_a_pickle_is_run(refused, tmp_path, protocol):
    mark = tmp_path / "run"
    for call in ((os.system, (f"touch {mark}",)), (eval, (f"open({str(mark)!r}, 'w')",)), (Path.touch, (mark,))):
        for tree in (Evil(call), {"weight_ih_l0": Evil(call)}, [Evil(call)]):
            program = pickle.dumps(tree, protocol)
            said = refused("m.pt", pt(program))
            assert "nothing of it was run" in said or "is damaged" in said
            refused("n.pt", program)  # as torch.save wrote before 1.6, or no one
    assert not mark.exists()


@pytest.mark.parametrize(("program", "said"), [
    (b"\x80\x02c__builtin__\neval\nU\x01xR.", "__builtin__.eval"),
    (b"\x80\x02ctorch.nn.modules.rnn\nLSTM\n)\x81.", "whole PyTorch module (torch.nn.modules.rnn.LSTM)"),
    (b"\x80\x02ccollections\nOrderedDict\n]U\x01xaR.", "pickle"),
    (b"\x80\x02ccollections\nOrderedDict\n)R}U\x01xK\x01sb.", "pickle"),
    (b"\x80\x02i__main__\nx\n.", "INST"),
    (b"\x80\x02\x82\x01.", "EXT1"),
    (b"\x80\x02(K\x01K\x02d.", "DICT"),
    (b"\x80\x02R.", "damaged"),
    (b"\x80\x02h\x05.", "damaged"),
    (b"\x80\x02}q\x00h\x00h\x00s.", "damaged"),
    (b"\x80\x02K\x01K\x02.", "damaged"),
    (b"\x80\x02X\xff\xff\xff\x7fa.", "damaged"),
    (b"\x80\x02\x8b\xff\xff\xff\x7f.", "damaged"),
    (b"", "damaged"),
    (b"}" * 600_000, "more memory than its size"),
    (b"\x80\x02}X\x01\x00\x00\x00aK\x01sX\x01\x00\x00\x00aK\x02s.", "twice"),
    (b"\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.", "twice"),
    (b"\x80\x02}q\x00(X\x01\x00\x00\x00ah\x00u.", "not hold a single state_dict"),
])  # fmt: skip
def test_pickles_that_are_made_up(refused, program, said):
    assert said in refused("m.pt", pt(program))


def test_a_vocabulary_of_any_size_is_read_and_lists_without_end_are_not(refused, tmp_path):
    words = {f"wórd{k}": k for k in range(60_000)}
    path = tmp_path / "vocabulary.pt"
    path.write_bytes(pt(pickle.dumps({"words": words, "list": list(words)}, 2)))
    assert torch_file.load(str(path), b"PK\x03\x04") == {"words": words, "list": list(words)}
    said = refused("m.pt", pt(b"\x80\x02" + b"]" * 500_000 + b"."), within=60)
    assert "more memory than its size warrants" in said


def tensor(key, count, offset, sizes, strides, storage="FloatStorage"):
    """Write the pickle of ``{"weight": tensor}``."""

    def whole(numbers):
        return b"(" + b"".join(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in numbers) + b"t"

    text = b"X" + struct.pack("<I", len(key)) + key.encode()
    persistent = b"(X\x07\x00\x00\x00storagectorch\n" + storage.encode() + b"\n" + text + b"X\x03\x00\x00\x00cpu"
    persistent += b"\x8a\x09" + count.to_bytes(9, "little", signed=True) + b"tQ"
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + b"\x8a\x09" + offset.to_bytes(9, "little", signed=True)
    )
    rebuilt += whole(sizes) + whole(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}X\x06\x00\x00\x00weight" + rebuilt + b"s."


def test_a_tensor_that_lies_in_its_storage(tmp_path, rng):
    values = rng.standard_normal(12).astype("<f4")
    for sizes, strides, expected in (((3, 4), (4, 1), values.reshape(3, 4)), ((4, 3), (1, 4), values.reshape(3, 4).T),
                                     ((2, 2), (6, 2), values.reshape(2, 6)[:, ::2][:, :2])):  # fmt: skip
        (tmp_path / "m.pt").write_bytes(pt(tensor("0", 12, 0, sizes, strides), [("0", values.tobytes())]))
        read = compuerta.interop.read(tmp_path / "m.pt", map=".:Linear")
        assert np.array_equal(read.parameters["w"], expected)
    (tmp_path / "m.pt").write_bytes(pt(tensor("0", 12, 2, (2, 5), (5, 1)), [("0", values.tobytes())]))
    assert np.array_equal(
        compuerta.interop.read(tmp_path / "m.pt", map=".:Linear").parameters["w"], values[2:].reshape(2, 5)
    )
    halves = (values.view("<u4") >> 16).astype("<u2")
    (tmp_path / "m.pt").write_bytes(
        pt(tensor("0", 12, 0, (3, 4), (4, 1), "BFloat16Storage"), [("0", halves.tobytes())])
    )
    read = compuerta.interop.read(tmp_path / "m.pt", map=".:Linear")
    assert np.array_equal(read.parameters["w"].view("<u4"), (values.view("<u4") & 0xFFFF0000).reshape(3, 4))


@pytest.mark.parametrize("arguments", [
    ("0", 12, 0, (3, 5), (5, 1)), ("0", 12, 1, (3, 4), (4, 1)), ("0", 12, -1, (3, 4), (4, 1)),
    ("0", 12, 0, (3, -4), (4, 1)), ("0", 12, 0, (3, 4), (-4, 1)), ("0", 12, 0, (3, 4), (1, 1)),
    ("0", 12, 0, (10**6, 10**6), (0, 0)), ("0", 12, 0, (2, 2), (0, 1)), ("0", 12, 0, (2**62, 4), (4, 1)),
    ("0", 12, 0, (2**62, 2**62), (2**62, 1)), ("0", 13, 0, (3, 4), (4, 1)), ("0", -1, 0, (0,), (1,)),
    ("0", 2**62, 0, (3, 4), (4, 1)), ("1", 12, 0, (3, 4), (4, 1)), ("../0", 12, 0, (3, 4), (4, 1)),
    ("0", 12, 0, (3, 4), (4,)),
    ("0", 12, 0, (1,) * 40, (1,) * 40), ("0", 12, 0, (0, 2**62), (1, 1)), ("0", 12, 2**62, (3, 4), (4, 1)),
])  # fmt: skip
def test_a_tensor_that_does_not(refused, arguments):
    said = refused("m.pt", pt(tensor(*arguments), [("0", b"\0" * 48)]), map=".:Linear")
    assert "does not lie inside its storage" in said or "its pickle is damaged" in said


#: A tuple of itself twice, sixty times over, in place 0 of the memo; then a number as long as they come, in place 1.
TOWER = b"\x80\x02K\x01q\x00" + b"h\x00\x86q\x000" * 60 + b"\x8a\xff" + b"\x7f" * 255 + b"q\x010"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ"
REBUILT = b"ctorch._utils\n_rebuild_tensor_v2\n("


@pytest.mark.parametrize("program", [
    b"h\x00h\x00\x93.", b"X\x05\x00\x00\x00torchh\x00\x93.", STORAGE.replace(b"X\x01\x00\x00\x000", b"h\x00") + b".",
    STORAGE.replace(b"K\x0c", b"h\x00") + b".", REBUILT + STORAGE + b"h\x00))\x89}tR.",
    REBUILT + STORAGE + b"K\x00h\x00)\x89}tR.", REBUILT + STORAGE + b"K\x00)h\x00\x89}tR.",
    REBUILT + STORAGE + b"K\x00(" + b"h\x01" * 30_000 + b"t)\x89}tR.", b"}h\x00K\x01s.", b"h\x00.", b"}h\x00b.",
], ids=lambda program: program[-12:].hex())  # fmt: skip
def test_a_tuple_of_itself_is_never_spelled_out(refused, program):
    """Its words and its hash would take as long as its 2⁶⁰ leaves; so would a product of very many long numbers."""
    said = refused("m.pt", pt(TOWER + program, [("0", b"\0" * 48)]))
    assert "its pickle" in said or "does not lie inside its storage" in said or "not hold a single state_dict" in said


def test_one_storage_for_very_many_tensors(refused):
    one = tensor("0", 2**20, 0, (1024, 1024), (1024, 1))
    body = one[one.index(b"ctorch._utils") : -2]
    program = b"\x80\x02}" + b"".join(b"X\x04\x00\x00\x00%04d" % k + body + b"s" for k in range(1000)) + b"."
    assert "does not lie inside its storage" in refused("m.pt", pt(program, [("0", b"\0" * 2**22)]))


@pytest.mark.parametrize("entries", [
    [("m/constants.pkl", b""), ("m/data.pkl", b""), ("m/code/x.py", b"")],
    [("m/data.pkl", b"\x80\x02}."), ("n/data.pkl", b"\x80\x02}.")],
])  # fmt: skip
def test_programs_of_torchscript(refused, entries):
    assert "TorchScript" in refused("m.pt", zipped(entries))


# ---- 41 to 43: archives ---------------------------------------------------------------------------------------------


def npy(array, **options):
    made = io.BytesIO()
    np.save(made, array, **options)
    return made.getvalue()


def test_arrays_of_objects(refused, tmp_path):
    mark = tmp_path / "run"
    evil = np.array([Evil((os.system, (f"touch {mark}",)))], dtype=object)
    assert "Python objects" in refused("m.karpathy.npz", zipped([("WLSTM.npy", npy(evil, allow_pickle=True))]))
    assert not mark.exists()


@pytest.mark.parametrize("header", [
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 4), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"__import__('os').system('touch run')", b"(" * 3000,
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-8, 4), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (8, 17), }",
    b"{'descr': '<U4', 'fortran_order': False, 'shape': (8, 4), }",
])  # fmt: skip
def test_headers_of_numpy_that_are_made_up(refused, header):
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + b"\0" * 128 * 4
    refused("m.karpathy.npz", zipped([("WLSTM.npy", data)]))
    assert not Path("run").exists()


def test_bombs(refused):
    packed = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 9}
    bomb = npy(np.zeros((2**12, 2**12), np.float32))  # 64 MiB, 64 KiB packed
    assert "it would inflate to" in refused("m.karpathy.npz", zipped([("WLSTM.npy", bomb)], **packed), within=60)
    many = [(f"{k}/ii/kernel.npy", bomb[: 2**22]) for k in range(20)]
    assert "it would inflate to" in refused("m.flax.npz", zipped(many, **packed), within=60)
    config = zipped([("config.json", b" " * 2**26), ("model.weights.h5", b"x")], **packed)
    assert "it would inflate to" in refused("m.keras", config, within=60)
    program = zipped([("m/data.pkl", b"}" * 2**26), ("m/version", "3")], **packed)
    assert "it would inflate to" in refused("m.pt", program, within=60)


def test_a_size_that_lies(refused):
    data = bytearray(zipped([("WLSTM.npy", npy(np.zeros((64, 64), np.float32)))], compression=zipfile.ZIP_DEFLATED))
    for at in (data.index(b"PK\x01\x02") + 24, 22):  # the size in the list of entries, and beside the entry
        data[at : at + 4] = struct.pack("<I", 100)
    refused("m.karpathy.npz", bytes(data))


def test_a_list_of_very_many_entries(refused):
    assert "list of entries is too long" in refused(
        "m.flax.npz", zipped([(f"{k}", b"") for k in range(60_000)]), format="flax", within=60
    )


@pytest.mark.parametrize(
    "name", ["../WLSTM.npy", "/WLSTM.npy", "a/../../WLSTM.npy", "..\\WLSTM.npy", "C:WLSTM.npy", "a\0b.npy"]
)
def test_entries_that_climb_out(refused, name):
    good = npy(np.zeros((6, 8), np.float32))
    info = zipfile.ZipInfo("x" * len(name))
    data = zipped([("WLSTM.npy", good), (info, good)])
    data = data.replace(b"x" * len(name), name.encode())
    assert "not a plain name" in refused("m.karpathy.npz", data, format="karpathy")


def test_links_duplicates_and_encryption(refused):
    good = npy(np.zeros((6, 8), np.float32))
    link = zipfile.ZipInfo("link.npy")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "is a link" in refused(
        "m.karpathy.npz", zipped([("WLSTM.npy", good), (link, b"/etc/passwd")]), format="karpathy"
    )
    twice = zipped([("WLSTM.npy", good), ("WLSTM.npy", good)])
    assert "appears twice" in refused("m.karpathy.npz", twice, format="karpathy")
    data = bytearray(zipped([("WLSTM.npy", good)]))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted" in refused("m.karpathy.npz", bytes(data), format="karpathy")
    assert "not a NumPy array" in refused("m.karpathy.npz", zipped([("WLSTM.npy", good), ("x.txt", b"")]))


# ---- 44: HDF5 -------------------------------------------------------------------------------------------------------


def hdf5(fill):
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file["layers/lstm/cell/vars/0"] = np.zeros((3, 16), np.float32)
        file["layers/lstm/cell/vars/1"] = np.zeros((4, 16), np.float32)
        fill(file)
    return made.getvalue()


BIAS = "layers/lstm/cell/vars/2"


def chunked(file):
    file.create_dataset(BIAS, (16,), "f4", maxshape=(None,), chunks=(2**28,))


def circle(file):
    file["layers/lstm/again"] = file["layers"]


def virtual(file):
    layout = h5py.VirtualLayout((16,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (16,))
    file.create_virtual_dataset(BIAS, layout)


HDF5 = {
    "petabyte": (lambda f: f.create_dataset(BIAS, (2**30, 2**20), "f4", chunks=(2**10, 2**5)), "much larger"),
    "a long vector": (lambda f: f.create_dataset(BIAS, (2**27,), "f4", chunks=(2**10,)), "much larger"),
    "a large chunk": (chunked, "much larger"),
    "external link": (lambda f: f.__setitem__(BIAS, h5py.ExternalLink("/etc/passwd", "/x")), "soft or external link"),
    "soft link": (lambda f: f.__setitem__(BIAS, h5py.SoftLink("/layers/lstm/cell/vars/1")), "soft or external link"),
    "soft link to a group": (lambda f: f.__setitem__("layers/x", h5py.SoftLink("/layers")), "soft or external link"),
    "circle": (circle, "form a cycle"),
    "virtual": (virtual, "in another file"),
    "external storage": (
        lambda f: f.create_dataset(BIAS, (16,), "f4", external=[("/etc/passwd", 0, 64)]), "in another file"
    ),
    "texts": (lambda f: f.create_dataset(BIAS, data=["a"] * 16), "not hold plain numbers"),
    "references": (lambda f: f.create_dataset(BIAS, (16,), h5py.ref_dtype), "not hold plain numbers"),
    "records": (lambda f: f.create_dataset(BIAS, (16,), np.dtype([("a", "f4")])), "not hold plain numbers"),
    "empty": (lambda f: f.create_dataset(BIAS, data=h5py.Empty("f4")), "not hold plain numbers"),
    "a type": (lambda f: f.__setitem__(BIAS, np.dtype("f4")), "not hold plain numbers"),
    "whole numbers": (lambda f: f.create_dataset(BIAS, data=np.zeros(16, np.int64)), "should be float"),
    "many names": (lambda f: [f.create_group(f"layers/{k}") for k in range(10_001)], "too many names"),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "many names" else []) for name in HDF5]
)
def test_hdf5_that_is_made_up(refused, name):
    fill, said = HDF5[name]
    data = hdf5(fill)
    assert said in refused("m.weights.h5", data, within=60)
    config = json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    made = zipped([("config.json", config), ("model.weights.h5", data)])
    refused("m.keras", made, within=60)


def test_the_whole_one_is_read(tmp_path):
    (tmp_path / "m.weights.h5").write_bytes(hdf5(lambda f: f.create_dataset(BIAS, data=np.ones(16, np.float32))))
    assert compuerta.interop.read(tmp_path / "m.weights.h5").hidden_size == 4


# ---- 45: configurations of Keras ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "m.keras"
    model = Sequential(Embedding(5, 3, rng=0), LSTM(3, 4, bidirectional=True, rng=1), Dense(8, 2, rng=2))
    compuerta.interop.write(model, path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def at(config, *keys):
    for key in keys:
        config = config[key]
    return config


LAYERS = ("config", "layers")
CELL = (*LAYERS, 2, "config", "layer", "config")
CHANGES = {
    "Lambda": ((*LAYERS, 3, "class_name"), "Lambda", "keras.layers.Lambda"),
    "unknown class": ((*LAYERS, 3, "class_name"), "Evil", "keras.layers.Evil"),
    "foreign module": ((*LAYERS, 3, "module"), "evil_module", "evil_module.Dense"),
    "module that looks right": ((*LAYERS, 3, "module"), "keras.layers.evil_module/..", "evil_module"),
    "registered": ((*LAYERS, 3, "registered_name"), "evil>Dense", "evil>Dense"),
    "model class": (("class_name",), "Evil", "keras.Evil"),
    "inner class": ((*LAYERS, 2, "config", "layer", "class_name"), "ConvLSTM2D", "keras.layers.ConvLSTM2D"),
    "activation": ((*CELL, "activation"), "softmax", "activation='softmax'"),
    "activation of one direction": ((*CELL, "activation"), "relu", "backward_layer.activation='tanh'"),
    "activation as a dict": ((*CELL, "activation"), {"class_name": "__lambda__"}, "activation='__lambda__'"),
    "recurrent activation": ((*CELL, "recurrent_activation"), "my_own", "recurrent_activation='my_own'"),
    "go_backwards": ((*CELL, "go_backwards"), True, "go_backwards=True"),
    "return_state": ((*CELL, "return_state"), True, "return_state=True"),
    "merge_mode": ((*LAYERS, 2, "config", "merge_mode"), "ave", "merge_mode='ave'"),
    "backward differs": ((*CELL, "use_bias"), False, "backward_layer.use_bias=True"),
    "unknown option": ((*CELL, "peephole"), True, "peephole=True"),
    "mask": ((*LAYERS, 1, "config", "mask_zero"), True, "mask_zero=True"),
    "softplus": ((*LAYERS, 3, "config", "activation"), "softplus", "activation='softplus'"),
    "quantized": ((*LAYERS, 3, "config", "quantization_config"), {"class_name": "Int8"}, "quantization_config='Int8'"),
    "one where True stands": ((*CELL, "go_backwards"), 0, "go_backwards=0"),
    "sizes that differ": ((*CELL, "units"), 5, "backward_layer.units=4"),
    "a size beyond all": ((*LAYERS, 1, "config", "input_dim"), 2**60, "should be (1152921504606846976, 3)"),
    "sizes of no number": ((*LAYERS, 3, "config", "units"), "many", "should be"),
    "no layers": (LAYERS, [], "tensor"),
    "layers of no list": (LAYERS, {"a": 1}, "not describe a chain of layers"),
    "a layer of no object": ((*LAYERS, 2), 7, "not describe a chain of layers"),
    "no configuration": (("config",), None, "not describe a chain of layers"),
    "one layer less": (LAYERS, None, "belongs to no layer"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_configurations_that_have_no_counterpart(refused, keras_file, name):
    keys, value, said = CHANGES[name]
    config = json.loads(keras_file["config.json"])
    if name == "one layer less":
        del config["config"]["layers"][3]
    else:
        at(config, *keys[:-1])[keys[-1]] = value
    before = set(sys.modules)
    assert said in refused("m.keras", zipped([*(keras_file | {"config.json": json.dumps(config)}).items()]))
    assert not {m for m in set(sys.modules) - before if "evil" in m or m.startswith(("keras", "tensorflow"))}


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff", b"null",
                                  b'{"class_name": "Sequential", "class_name": "Sequential"}',
                                  b"[]", b'{"class_name": ["a"]}', b"NaN"])  # fmt: skip
def test_configurations_that_are_no_json(refused, keras_file, text):
    refused("m.keras", zipped([*(keras_file | {"config.json": text}).items()]))


def functional(layers, start="a", end="c"):
    config = {"layers": layers, "input_layers": [start, 0, 0], "output_layers": [end, 0, 0]}
    return json.dumps({"module": "keras.src.models.functional", "class_name": "Functional", "config": config})


def node(kind, name, *sources, kwargs=None, **config):
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [s, 0, 0]}} for s in sources]
    nodes = [{"args": tensors, "kwargs": kwargs or {}}] if sources else []
    return {
        "module": "keras.layers",
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes,
    }


START, LSTM_NODE = node("InputLayer", "a"), node("LSTM", "b", "a", units=4, return_sequences=True)
END = node("Dense", "c", "b", units=2)
GRAPHS = {
    "circle": [START, node("LSTM", "b", "c", units=4), END],
    "itself": [START, LSTM_NODE, node("Dense", "c", "c", units=2)],
    "two inputs": [START, LSTM_NODE, node("Dense", "c", "b", "a", units=2)],
    "a branch": [START, LSTM_NODE, node("Dense", "d", "b", units=2), END],
    "a source that is not there": [START, LSTM_NODE, node("Dense", "c", "z", units=2)],
    "an initial state": [START, node("LSTM", "b", "a", units=4, kwargs={"initial_state": [1]}), END],
    "a mask": [START, node("LSTM", "b", "a", units=4, kwargs={"mask": {"class_name": "x"}}), END],
    "shared": [START, {**LSTM_NODE, "inbound_nodes": LSTM_NODE["inbound_nodes"] * 2}, END],
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_are_no_row(refused, keras_file, name):
    said = refused("m.keras", zipped([*(keras_file | {"config.json": functional(GRAPHS[name])}).items()]))
    assert "not form a single chain" in said or "not describe a chain of layers" in said
