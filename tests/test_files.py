"""Model files: what is saved comes back to the bit; what is not ours, damaged or made up is refused in words."""

import json
import os
import signal
import stat
import struct
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from safetensors.numpy import load as safetensors_load
from safetensors.numpy import save as safetensors_save

import compuerta
from compuerta import files
from compuerta.data import seasonal_series
from compuerta.errors import FileFormatError, NotFittedError, SettingError
from compuerta.layers import GRU, LSTM, Dense, Dropout, Embedding, Last, Sequential
from compuerta.tasks import Forecaster, LanguageModel

LAYERS = {
    "LSTM": lambda r: LSTM(3, 4, rng=r),
    "LSTM stacked, both ways, float64": lambda r: LSTM(3, 4, 2, bidirectional=True, dropout=0.2, dtype="f8", rng=r),
    "LSTM of tokens, chrono": lambda r: LSTM(6, 4, tokens=True, chrono=30, rng=r),
    "LSTM, another forget bias": lambda r: LSTM(3, 4, forget_bias=-2.5, rng=r),
    "GRU": lambda r: GRU(3, 4, 2, rng=r),
    "GRU, reset before": lambda r: GRU(3, 4, reset_after=False, bidirectional=True, rng=r),
    "Dense": lambda r: Dense(3, 5, rng=r),
    "Dense, zero": lambda r: Dense(3, 5, zero=True, dtype="float64"),
    "Embedding": lambda r: Embedding(6, 4, rng=r),
    "Dropout": lambda r: Dropout(0.3),
    "Last": lambda r: Last(dtype="float64"),
    "Sequential": lambda r: Sequential(Embedding(6, 3, rng=r), LSTM(3, 4, rng=r), Dropout(0.1), Dense(4, 6, rng=r)),
    "Sequential, nested": lambda r: Sequential(
        Sequential(LSTM(3, 4, rng=r), Sequential(Dropout(0.5), GRU(4, 2, rng=r))), Last(), Dense(2, 3, rng=r)
    ),
}


def inputs(layer, rng):
    first = layer
    while isinstance(first, Sequential):
        first = first.layers[0]
    if isinstance(first, Embedding) or getattr(first, "tokens", False):
        return rng.integers(0, 6, (2, 5))
    return rng.normal(size=(2, 5, 3))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.safetensors"


@pytest.fixture(scope="module")
def language_model():
    model = LanguageModel(hidden_size=6, num_layers=2, embedding_size=3, batch_size=2, steps=8, updates=4, dropout=0.1)
    return model.fit('ñandú, "☃"\n\\ 𝔸\t' * 20)


@pytest.fixture(scope="module")
def forecaster():
    return Forecaster(6, period=6, hidden_size=3, members=1, max_epochs=2, origins=2).fit(seasonal_series(80, 6, 0))


# ---- there and back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_to_the_bit(name, path, rng):
    layer = LAYERS[name](rng)
    for key, array in layer.parameters.items():  # not the values that a constructor would give again
        layer.parameters[key] = rng.normal(size=array.shape)
    compuerta.save(layer, path)
    loaded = compuerta.load(path)
    assert type(loaded) is type(layer)
    assert loaded.config() == layer.config()
    assert loaded.parameters.dtype == layer.parameters.dtype
    np.testing.assert_array_equal(loaded.parameters.flat, layer.parameters.flat)
    x = inputs(layer, rng)
    y, state, _ = layer.forward(x)
    z, other, _ = loaded.forward(x)
    np.testing.assert_array_equal(y, z)
    assert repr(state) == repr(other)
    compuerta.save(loaded, path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


def test_a_language_model_comes_back_to_the_bit(language_model, path):
    text = 'ñandú, "☃"\n\\ 𝔸\t' * 3
    compuerta.save(language_model, path)
    loaded = compuerta.load(path)
    assert loaded.get_params() == language_model.get_params()
    assert loaded.vocabulary_ == language_model.vocabulary_
    assert loaded.report_ == json.loads(json.dumps(language_model.report_))
    assert loaded.score(text) == language_model.score(text)
    assert loaded.generate("ñ", 50, seed=3) == language_model.generate("ñ", 50, seed=3)
    assert loaded.validation_split('ñandú, "☃"\n\\ 𝔸\t' * 20) == language_model.validation_split(
        'ñandú, "☃"\n\\ 𝔸\t' * 20
    )


def test_a_forecaster_comes_back_to_the_bit(forecaster, path, rng):
    compuerta.save(forecaster, path)
    loaded = compuerta.load(path)
    assert loaded.get_params() == forecaster.get_params()
    assert loaded.report_ == forecaster.report_
    other = rng.normal(size=60) + 100
    for series in (None, other):
        first, second = (m.predict(15, [50, 90], series=series) for m in (forecaster, loaded))
        np.testing.assert_array_equal(first.mean, second.mean)
        np.testing.assert_array_equal(first.seasonal_naive, second.seasonal_naive)
        for level in (50, 90):
            np.testing.assert_array_equal(first.lower[level], second.lower[level])
            np.testing.assert_array_equal(first.upper[level], second.upper[level])


@pytest.mark.parametrize(
    "model",
    [
        lambda: LanguageModel(np.int64(4), seed=np.int64(3), embedding_size=2, batch_size=1, steps=4, updates=1),
        lambda: LanguageModel(4, dtype=np.float64, embedding_size=2, batch_size=1, steps=4, updates=1),
        lambda: LanguageModel(4, learning_rate=np.float32(0.01), embedding_size=2, batch_size=1, steps=4, updates=1),
    ],
    ids=["ints of NumPy", "a dtype of NumPy", "a float of NumPy"],
)
def test_settings_as_numpy_gives_them_can_be_saved(model, path):
    """A grid search hands over numbers of NumPy; a model that was trained with them must not be lost in saving."""
    model = model().fit("abcd" * 20)
    compuerta.save(model, path)
    loaded = compuerta.load(path)
    assert loaded.score("abcdabcd") == model.score("abcdabcd")
    assert loaded.seed == model.seed


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.T, lambda a: a[::2, ::-1], np.asfortranarray, lambda a: a[:, 1:3], lambda a: a.astype(">f4"),
        lambda a: a.astype(">f8").T, lambda a: a.astype("f2"), lambda a: a > 0, lambda a: (a * 100).astype(np.int16),
        lambda a: a[:0], lambda a: a[:, :, None],
    ],
)  # fmt: skip
def test_arrays_of_any_layout_come_back(change, path, rng):
    array = change(rng.normal(size=(4, 6)).astype(np.float32))
    files.write(path, {"a": array, "ñ/../x": np.arange(3)}, {"k": [1, None, "ñ"]})
    tensors, content = files.read(path)
    assert content == {"k": [1, None, "ñ"]}
    assert tensors["a"].shape == array.shape
    assert tensors["a"].dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(tensors["a"], array)
    np.testing.assert_array_equal(tensors["ñ/../x"], [0, 1, 2])


def test_any_reader_of_safetensors_reads_the_tensors(path, rng):
    layer = LSTM(3, 4, rng=rng)
    compuerta.save(layer, path)
    tensors = safetensors_load(path.read_bytes())
    assert set(tensors) == set(layer.parameters)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, layer.parameters[name])


def test_what_is_not_ours_or_not_fitted_is_not_saved(path):
    class Own(Dense):
        pass

    with pytest.raises(SettingError, match="got dict"):
        compuerta.save({"w": np.zeros(3)}, path)
    for model in (LanguageModel(), Forecaster()):
        with pytest.raises(NotFittedError):
            compuerta.save(model, path)
    for model in (Own(2, 3), Sequential(Last(), Own(2, 3))):  # load could not read them back
        with pytest.raises(SettingError, match="Own"):
            compuerta.save(model, path)
    assert os.listdir(path.parent) == []


# ---- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small file and all its bytes."""
    path = tmp_path_factory.mktemp("small") / "m.safetensors"
    compuerta.save(Sequential(Dense(2, 1, rng=3), Dense(1, 2, rng=4)), path)
    return path.read_bytes()


def refused(path, data):
    path.write_bytes(data)
    with pytest.raises(FileFormatError) as caught:
        compuerta.load(path)
    said = str(caught.value)
    assert os.fspath(path) in said
    assert "\n" not in said
    assert said == caught.value.text("en")
    assert caught.value.text("es")
    return said


def test_every_flipped_bit_is_noticed(small, path):
    """All of them, in the length, the header, the checksum, the version and the tensors."""
    kept = []
    for k in range(len(small) * 8):
        data = bytearray(small)
        data[k // 8] ^= 1 << (k % 8)
        path.write_bytes(data)
        try:
            compuerta.load(path)
            kept.append((k // 8, chr(small[k // 8]), chr(data[k // 8])))
        except FileFormatError:
            pass
    assert kept == []


def test_every_truncation_is_noticed(small, path):
    for length in range(len(small)):
        refused(path, small[:length])


@pytest.mark.parametrize("tail", [b"\0", b"\n", b"\0" * 8, b"{}"])
def test_what_stands_behind_the_end_is_noticed(small, path, tail):
    refused(path, small + tail)


def test_swapped_tensors_are_noticed(path, rng):
    layer = LSTM(3, 3, rng=rng)
    compuerta.save(layer, path)
    data = path.read_bytes()
    first, second = (layer.parameters[name].tobytes() for name in ("w_x_l0", "w_h_l0"))
    assert data.count(first) == data.count(second) == 1
    swapped = data.replace(first, b"?" * len(first)).replace(second, first).replace(b"?" * len(first), second)
    assert "checksum" in refused(path, swapped)


def raw(header, data=b"\0" * 4, length=None):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


A = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
BROKEN = {
    "empty": b"",
    "seven bytes": b"\0" * 7,
    "header of length 0": b"\0" * 8,
    "header of length 2^63": raw("{" + A + "}", length=2**63),
    "header of length 2^64 - 1": raw("{" + A + "}", length=2**64 - 1),
    "header beyond the file": raw("{" + A + "}", length=10_000),
    "not UTF-8": raw(b'{"\xff":1}'),
    "not JSON": raw("{" + A),
    "a list": raw("[1]"),
    "deep": raw("[" * 5_000 + "]" * 5_000),
    "tensor that is no object": raw('{"a":3}'),
    "the same metadata twice": raw('{"__metadata__":{"a":"b"},"__metadata__":{"a":"b"},' + A + "}"),
    "overlap": raw("{" + A + ',"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
    "hole": raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}', b"\0" * 5),
    "reversed offsets": raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}'),
    "negative offsets": raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}'),
    "shape against bytes": raw('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}'),
    "shape that overflows": raw('{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}'),
    "unknown dtype": raw('{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}'),
    "dtype that NumPy lacks": raw('{"a":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]}}'),
    "metadata that is no text": raw('{"__metadata__":{"compuerta":3},' + A + "}"),
    "a pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.",
    "a zip": b"PK\x03\x04" + b"\0" * 60,
    "a text": b"En un lugar de la Mancha, de cuyo nombre no quiero acordarme",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_safetensors_file_is_refused(name, path):
    said = refused(path, BROKEN[name])
    assert "is not a safetensors file, or it is damaged" in said


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"compuerta": "{"}, {"compuerta": "[]"},
                                      {"compuerta": "{}"}, {"compuerta": "[" * 5_000},
                                      {"compuerta": '{"format_version":"1","checksum":"","content":"{}"}'},
                                      {"compuerta": '{"format_version":1,"checksum":"","content":{}}'}])  # fmt: skip
def test_a_safetensors_file_that_is_not_ours_is_refused(metadata, path):
    said = refused(path, safetensors_save({"w": np.zeros((2, 3), np.float32)}, metadata))
    assert "compuerta did not save it" in said


def crafted(content, tensors=None, version=files.FORMAT_VERSION):
    """A file whose checksum is right, made by someone who knows how."""
    text = content if isinstance(content, str) else json.dumps(content)
    tensors = tensors if tensors is not None else {"w": np.ones((2, 3), np.float32), "b": np.ones(2, np.float32)}
    header = {"format_version": version, "checksum": files._checksum(tensors, text, version), "content": text}
    return safetensors_save(tensors, {"compuerta": json.dumps(header)})


DENSE = {"kind": "Layer", "model": ["Dense", {"input_size": 3, "output_size": 2}]}


def test_the_crafting_itself_is_right(path):
    path.write_bytes(crafted(DENSE))
    assert compuerta.load(path).parameters["w"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_a_newer_format_is_refused_with_both_versions(path):
    said = refused(path, crafted(DENSE, version=files.FORMAT_VERSION + 1))
    assert f"format version {files.FORMAT_VERSION + 1}" in said
    assert f"up to {files.FORMAT_VERSION}" in said


@pytest.mark.parametrize("version", [0, -1, True, 1.0, None])
def test_a_version_that_never_was_is_refused(version, path):
    refused(path, crafted(DENSE, version=version))


NESTED = '{"kind":"Layer","model":' + '["Sequential",{"layers":[' * 400 + '["Last",{}]' + "]}]" * 400 + "}"
CONTENTS = {
    "not JSON": "hola",
    "a list": "[]",
    "null": "null",
    "a number": "3",
    "deep": "[" * 100_000,
    "nothing in it": {},
    "a kind that is none": {"kind": "Oracle"},
    "a kind that is a list": {"kind": [1]},
    "a Python name": {"kind": "Layer", "model": ["os.system", {"command": "id"}]},
    "a class of ours that is not a layer": {"kind": "Layer", "model": ["Parameters", {}]},
    "a layer that is a list": {"kind": "Layer", "model": [["Dense"], {}]},
    "no model": {"kind": "Layer"},
    "a model of one": {"kind": "Layer", "model": ["Dense"]},
    "arguments that are a list": {"kind": "Layer", "model": ["Dense", [3, 2]]},
    "an argument too many": {"kind": "Layer", "model": ["Dense", {"input_size": 3, "output_size": 2, "x": 1}]},
    "an argument too few": {"kind": "Layer", "model": ["Dense", {"input_size": 3}]},
    "a negative size": {"kind": "Layer", "model": ["Dense", {"input_size": -3, "output_size": 2}]},
    "a size that is text": {"kind": "Layer", "model": ["Dense", {"input_size": "3", "output_size": 2}]},
    "an rng": {"kind": "Layer", "model": ["Dense", {"input_size": 3, "output_size": 2, "rng": 0}]},
    "another dtype": {"kind": "Layer", "model": ["Dense", {"input_size": 3, "output_size": 2, "dtype": "float16"}]},
    "Sequential of nothing": {"kind": "Layer", "model": ["Sequential", {"layers": []}]},
    "Sequential of numbers": {"kind": "Layer", "model": ["Sequential", {"layers": [1, 2]}]},
    "Sequential without layers": {"kind": "Layer", "model": ["Sequential", {}]},
    "Sequential 400 deep": NESTED,
    "a language model without settings": {"kind": "LanguageModel"},
    "a language model with others": {"kind": "LanguageModel", "settings": {"bar": 1}},
    "a language model of one layer": {"kind": "LanguageModel", "settings": {}, "vocabulary": "a", "report": {},
                                      "model": DENSE["model"]},
    "a forecaster without series": {"kind": "Forecaster", "settings": {}, "report": {}, "log": False, "period": 1,
                                    "horizon": 1, "series": {}, "members": []},
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_a_description_that_makes_no_sense_is_refused(name, path):
    """The checksum is right: it guards against accidents, not against people."""
    refused(path, crafted(CONTENTS[name]))


def test_a_description_of_petabytes_is_refused(path):
    for kind, size in (("Dense", "output_size"), ("LSTM", "hidden_size")):
        refused(path, crafted({"kind": "Layer", "model": [kind, {"input_size": 10**8, size: 10**8}]}))


def test_loading_draws_no_weights(path, monkeypatch, language_model):
    """Weights that the file's replace at once would cost seconds at 1,000 units, and whatever a made-up file asks."""

    def drawn(*args):
        raise AssertionError("weights were drawn")

    models = [make(np.random.default_rng(1)) for make in LAYERS.values()] + [language_model]
    for name in ("glorot_uniform", "orthogonal", "normal"):
        monkeypatch.setattr(compuerta.initializers, name, drawn)
    for model in models:
        compuerta.save(model, path)
        assert type(compuerta.load(path)) is type(model)


@contextmanager
def limit_of_seconds(seconds):
    def ring(*args):
        raise TimeoutError(f"not done after {seconds} s")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


def change_of(tensors, name, value):
    return {**tensors, name: value}


@pytest.mark.parametrize("task", ["layer", "language_model", "forecaster"])
@pytest.mark.parametrize("how", ["missing", "extra", "transposed", "longer", "another dtype"])
def test_a_tensor_that_does_not_fit_is_named(task, how, path, request):
    model = LSTM(3, 4, rng=1) if task == "layer" else request.getfixturevalue(task)
    compuerta.save(model, path)
    tensors, content = files.read(path)
    name = {"layer": "w_h_l0", "language_model": "1.w_h_l1", "forecaster": "1.core.0.w_h_l0"}[task]
    array = tensors[name]
    tensors = {
        "missing": without(tensors, name),
        "extra": change_of(tensors, "stray", np.zeros(3, np.float32)),
        "transposed": change_of(tensors, name, array.T),
        "longer": change_of(tensors, name, np.concatenate([array, array])),
        "another dtype": change_of(tensors, name, array.astype(np.float16)),
    }[how]
    files.write(path, tensors, content)
    with pytest.raises(FileFormatError) as caught:
        compuerta.load(path)
    said = str(caught.value)
    assert f"tensor {'stray' if how == 'extra' else name} should be" in said
    if how in ("transposed", "longer"):
        assert str(array.shape) in said
        assert str(tensors[name].shape) in said
    if how == "another dtype":
        assert "float16" in said


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_load_with_a_warning(bad, path, rng):
    layer = LSTM(3, 4, rng=rng)
    w = layer.parameters["w_h_l0"].copy()
    w[2, 1] = bad
    layer.parameters["w_h_l0"] = w
    compuerta.save(layer, path)
    with pytest.warns(RuntimeWarning, match=r"tensor w_h_l0 holds values that are not finite") as caught:
        loaded = compuerta.load(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(loaded.parameters["w_h_l0"], w)


# ---- places ---------------------------------------------------------------------------------------------------------


def test_a_folder_a_link_and_a_fifo_are_not_written_to(path, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    places = [tmp_path / name for name in ("folder", "link", "dangling", "fifo")]
    places[0].mkdir()
    places[1].symlink_to(precious)
    places[2].symlink_to(tmp_path / "nowhere")
    os.mkfifo(places[3])
    before = sorted(os.listdir(tmp_path))
    for place in [*places, tmp_path]:
        for act in (lambda at: compuerta.save(Dense(2, 1, rng=0), at), files.check_writable):
            with pytest.raises(SettingError, match="not a regular file") as caught:
                act(place)
            assert os.fspath(place) in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before
    assert precious.read_text() == "precious"


def test_a_folder_is_not_read_and_a_link_is(path, tmp_path):
    with pytest.raises((FileFormatError, IsADirectoryError), match=r"is a folder|Is a directory"):
        compuerta.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        compuerta.load(tmp_path / "nothing")
    compuerta.save(Dense(2, 1, rng=0), path)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert compuerta.load(link).input_size == 2
    assert compuerta.load(os.fspath(path)).input_size == 2


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    place = tmp_path / "fifo"
    os.mkfifo(place)
    with limit_of_seconds(2), pytest.raises(FileFormatError, match="not a regular file"):
        compuerta.load(place)


def test_the_file_gets_the_usual_permissions_and_replaces_the_old(path):
    old = os.umask(0o027)
    try:
        compuerta.save(Dense(2, 1, rng=0), path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
        compuerta.save(Dense(5, 1, rng=0), path)
    finally:
        os.umask(old)
    assert compuerta.load(path).input_size == 5
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_model(where, path, monkeypatch):
    compuerta.save(Dense(2, 1, rng=0), path)
    old = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left"):
        compuerta.save(Dense(5, 1, rng=0), path)
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_file_and_folder_reach_the_disk_before_it_is_told(path, monkeypatch):
    """The order is what makes it safe: data, fsync of the file, rename, fsync of the folder."""
    done = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else os.fstat(descriptor).st_size)
        fsync(descriptor)

    def watched_replace(*args):
        done.append("rename")
        replace(*args)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    compuerta.save(Dense(2, 1, rng=0), path)
    assert done == [path.stat().st_size, "rename", "folder"]


def test_a_reader_never_sees_a_part(path):
    """One thread writes two models in turn, the other reads all the while."""
    models = [Dense(200, 50, rng=0), Dense(30, 20, rng=1)]
    compuerta.save(models[0], path)
    stop = threading.Event()

    def write():
        for k in range(60):
            compuerta.save(models[k % 2], path)
        stop.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not stop.is_set():
        seen.add(compuerta.load(path).input_size)
    thread.join()
    assert seen <= {200, 30}
    assert seen


def test_check_writable_leaves_nothing_behind(path, tmp_path):
    files.check_writable(path)
    assert os.listdir(tmp_path) == []
    path.write_text("old")
    files.check_writable(path)
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError):
        files.check_writable(tmp_path / "no" / "m.safetensors")


def test_a_long_name_that_the_system_takes_is_taken(tmp_path):
    path = tmp_path / ("n" * 243 + ".safetensors")  # 255, the most that a name may have
    compuerta.save(Dense(2, 1, rng=0), path)
    assert compuerta.load(path).input_size == 2


def test_a_class_may_be_asked_for(tmp_path):
    compuerta.save(LSTM(2, 3, rng=0), tmp_path / "layer")
    assert compuerta.load(tmp_path / "layer", LSTM).hidden_size == 3
    with pytest.raises(FileFormatError, match="holds LSTM, not GRU"):
        compuerta.load(tmp_path / "layer", GRU)
