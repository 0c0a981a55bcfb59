"""The native engine in its process: when weights are packed, threads and forks, memory that runs out, and what
compuerta does without the library.
"""

import ctypes
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from compuerta import LSTM, recurrence
from compuerta.errors import SettingError
from compuerta.recurrence import binding
from native_engine import KINDS, VARIANTS, close, kinds, same_bits

#: Under a sanitizer memory is limited in its way, and the address space must not be.
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")

# ---- weights are packed when they must be ---------------------------------------------------------------------------


def test_weights_are_packed_once_until_they_change(rng, library, variant, monkeypatch):
    calls = {"pack": 0, "pack_back": 0}

    def counting(name, function):
        def call(*arguments):
            calls[name] += 1
            return function(*arguments)

        return call

    for name in calls:
        monkeypatch.setattr(library, name, counting(name, getattr(library, name)))
    layer = LSTM(3, 5, 2, bidirectional=True, rng=rng)
    x = rng.standard_normal((4, 6, 3))
    for _ in range(3):
        layer(x)
        *_, tape = layer.forward(x, record=True)
    assert calls == {"pack": 4, "pack_back": 0}  # two layers in two directions; none for a way back that is not taken
    for _ in range(3):
        layer.backward(tape, np.ones((4, 6, 10)))
    assert calls == {"pack": 4, "pack_back": 4}
    before = layer(x)[0]
    layer.parameters["w_h_l1"] = layer.parameters["w_h_l1"] + 0.1
    assert not np.allclose(layer(x)[0], before)
    assert calls == {"pack": 8, "pack_back": 4}


@kinds
def test_the_engine_may_change_between_forward_and_backward(rng, variant, kind):
    layer = KINDS[kind](3, 5, 2, rng=rng)
    x, dy = rng.standard_normal((4, 6, 3)), rng.standard_normal((4, 6, 5))
    *_, tape = layer.forward(x, record=True)
    expected = layer.backward(tape, dy).flat
    recurrence.use_engine("numpy")
    *_, other = layer.forward(x, record=True)
    assert same_bits([layer.backward(tape, dy).flat], [expected])
    by_numpy = layer.backward(other, dy).flat
    recurrence.use_engine(variant)
    assert same_bits([layer.backward(other, dy).flat], [by_numpy])
    close(expected, by_numpy, "gradients", "float32")


def test_a_tape_outlives_what_made_it(rng, variant):
    """The arrays and the layer that a tape was made from may be gone."""
    layer = LSTM(3, 40, dtype="float64", rng=rng)
    x, dy = rng.standard_normal((8, 30, 3)), rng.standard_normal((8, 30, 40))
    *_, tape = layer.forward(x, lengths=np.arange(8) + 20, record=True)
    expected = layer.backward(tape, dy).flat
    *_, tape = layer.forward(x.copy(), lengths=np.arange(8) + 20, record=True)
    layer._packed.clear()  # the packed weights are dropped
    rubbish = [np.full((8, 30, 3), np.nan) for _ in range(50)]
    assert same_bits([layer.backward(tape, dy).flat], [expected])
    del rubbish


# ---- threads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2", None, np.float64(2)])
def test_a_number_of_threads_must_be_a_positive_integer(as_before, count):
    before = recurrence.num_threads()
    with pytest.raises(SettingError, match="must be an integer >= 1") as caught:
        recurrence.set_num_threads(count)
    assert repr(count) in str(caught.value)
    assert "debe ser" in caught.value.text("es")
    assert recurrence.num_threads() == before


def test_threads_set_are_the_threads_there_are(as_before):
    for count in (3, np.int64(5), 1000):
        recurrence.set_num_threads(count)
        assert recurrence.num_threads() == count
        assert type(recurrence.num_threads()) is int


def clean_environment(**more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COMPUERTA", "COV"))}
    named = os.environ.get("COMPUERTA_NATIVE_LIBRARY")
    kept |= {"COMPUERTA_NATIVE_LIBRARY": named} if named else {}
    return {k: v for k, v in (kept | more).items() if v is not None}


def python(code, *arguments, **environment):
    """Run a program, warnings being errors, and return what came of it."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        env=clean_environment(**environment), capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def printed(code, *arguments, **environment):
    done = python(code, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_the_environment_names_the_number_of_threads():
    code = "from compuerta import recurrence; print(recurrence.num_threads())"
    usual = printed(code)
    assert usual >= 1
    assert printed(code, COMPUERTA_NUM_THREADS="37") == 37
    assert printed(code, COMPUERTA_NUM_THREADS="") == usual
    for other in ("0", "-3", "many", "1.5"):
        done = python(code, COMPUERTA_NUM_THREADS=other)
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith("compuerta.errors.SettingError: COMPUERTA_NUM_THREADS must be an integer >= 1")
        assert repr(other) in last


def at_once(count, work):
    """Call ``work(k)`` in ``count`` threads of Python that start together; return the results in order."""
    start = threading.Barrier(count)

    def begin(k):
        start.wait(timeout=60)
        return work(k)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


@pytest.mark.parametrize("own", [1, 3])
@kinds
def test_python_threads_may_share_a_layer(rng, variant, kind, own):
    """Each with its own inputs, all at once, whether or not the engine has threads of its own."""
    recurrence.set_num_threads(own)
    layer = KINDS[kind](24, 45, rng=rng)
    x, dy = rng.standard_normal((6, 32, 12, 24)).astype(np.float32), rng.standard_normal((32, 12, 45))

    def train(k):
        y, _, tape = layer.forward(x[k], record=True)
        return [y, layer(x[k])[0], layer.backward(tape, dy).flat]

    expected = [train(k) for k in range(6)]
    layer.parameters["b_l0"] = layer.parameters["b_l0"].copy()  # so that the weights are packed again, by all of them
    for got in at_once(6, lambda k: [train(k) for _ in range(4)]):
        assert all(any(same_bits(once, one) for one in expected) for once in got)
    assert all(same_bits(got, one) for got, one in zip(at_once(6, train), expected, strict=True))


def test_threads_of_python_may_each_have_a_stream(rng, variant):
    layer = LSTM(5, 37, 2, rng=rng)
    x = rng.standard_normal((6, 200, 5)).astype(np.float32)

    def follow(k):
        stream = layer.stream()
        return np.stack([stream(x_t) for x_t in x[k]])

    for got, row in zip(at_once(6, follow), x, strict=True):
        assert same_bits([got], [layer(row)[0]])


PACKED_AT_ONCE = """
import gc, sys, threading
import numpy as np, compuerta
from compuerta import recurrence
compuerta.use_engine(sys.argv[1])
library, layer = recurrence.binding.load(), compuerta.LSTM(600, 600, rng=0)
x, dy = np.ones((2, 2, 600), np.float32), np.ones((2, 2, 600), np.float32)
*_, tape = layer.forward(x, record=True)
pack, walk = library.pack_back, library.backward
both, first, second = threading.Barrier(2), threading.Event(), threading.Event()

def pack_back(*arguments):
    pack(*arguments)
    both.wait(20)  # so that both have packed before either keeps what it packed
    if threading.current_thread().name == "second":
        first.wait(20)

def backward(run):
    if threading.current_thread().name == "second":
        second.set()
    else:
        first.set()
        second.wait(20)
        gc.collect()
    return walk(run)

found = {}
def work():
    found[threading.current_thread().name] = layer.backward(tape, dy).flat

library.pack_back, library.backward = pack_back, backward
threads = [threading.Thread(target=work, name=name) for name in ("first", "second")]
[t.start() for t in threads]
[t.join() for t in threads]
library.pack_back, library.backward = pack, walk
expected = layer.backward(tape, dy).flat
print(int(len(found) == 2 and all(np.array_equal(g, expected) for g in found.values())))
"""


def test_threads_that_pack_at_once_keep_what_they_packed(variant):
    """Two pack the weights of the way back; only one packing is kept for later, and the other must last its walk."""
    assert printed(PACKED_AT_ONCE, variant) == 1


FORKS = """
import os, sys, threading
import numpy as np, compuerta
compuerta.use_engine(sys.argv[1])
compuerta.set_num_threads(3)
layer = compuerta.LSTM(24, 45, rng=0)
x = np.random.default_rng(0).standard_normal((48, 20, 24)).astype(np.float32)
dy = np.ones((48, 20, 45), np.float32)

def train():
    y, _, tape = layer.forward(x, record=True)
    return y.tobytes() + layer.backward(tape, dy).flat.tobytes()

def forked(work):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

expected, stop = train(), threading.Event()
codes = [forked(lambda: train() == expected)]                              # with sleeping threads
codes += [forked(lambda: train() == expected and not forked(lambda: train() == expected))]  # and a child's child
def busy():
    while not stop.is_set():
        train()
worker = threading.Thread(target=busy)
worker.start()
for _ in range(int(sys.argv[2])):                                          # while another thread is computing
    codes.append(forked(lambda: train() == expected))
stop.set()
worker.join()
codes.append(int(train() != expected))                                     # and the parent goes on
print(codes)
"""


def test_a_forked_child_computes_too(variant):
    """It has none of its parent's threads, and starts its own. (Python warns of forks where threads run: not here.)"""
    busy = 0 if SANITIZED else 8  # a sanitizer's own locks do not survive a fork amid its allocations
    codes = printed("import warnings; warnings.simplefilter('ignore')\n" + FORKS, variant, str(busy))
    assert codes == [0] * len(codes)


# ---- out of memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["forward", "backward"])
def test_what_the_library_cannot_get_is_a_memory_error(rng, library, variant, monkeypatch, what):
    layer = LSTM(3, 5, rng=rng)
    x = rng.standard_normal((4, 6, 3))
    *_, tape = layer.forward(x, record=True)
    expected = layer.backward(tape, np.ones((4, 6, 5))).flat
    with monkeypatch.context() as patch:
        patch.setattr(library, what, lambda run: 1)  # OUT_OF_MEMORY
        with pytest.raises(MemoryError):
            layer(x) if what == "forward" else layer.backward(tape, np.ones((4, 6, 5)))
    assert same_bits([layer.backward(tape, np.ones((4, 6, 5))).flat], [expected])


MEMORY = """
import json, os, resource, sys
import numpy as np, compuerta
from compuerta import recurrence
compuerta.use_engine(sys.argv[1])
compuerta.set_num_threads(int(sys.argv[2]))
library = recurrence.binding.load()
codes = {"forward": [], "backward": []}
def noting(name, function):
    def call(run):
        codes[name].append(function(run))
        return codes[name][-1]
    return call
for name in codes:
    setattr(library, name, noting(name, getattr(library, name)))

n = 40_000
layer = compuerta.GRU(1, 16, rng=0)
x, dy, state = np.ones((n, 1, 1), np.float32), np.ones((n, 1, 16), np.float32), np.ones((1, n, 16), np.float32)
expected = layer(x, state)[0]
*_, tape = layer.forward(x, state, record=True)
grads = layer.backward(tape, dy, state).flat
wide = np.ones((3 * n, 1, 1), np.float32)  # a tape larger than any before
soft, hard = resource.getrlimit(resource.RLIMIT_AS)

def attempt(run, more):
    if os.path.exists("/proc/self/statm"):  # elsewhere there is no such limit
        with open("/proc/self/statm") as f:
            now = int(f.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        return run()
    except MemoryError:
        return None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

wrong = done = 0
for run, right in (
    (lambda: layer.forward(wide, record=True)[0], layer(wide)[0]),
    (lambda: layer(x, state)[0], expected),
    (lambda: layer.backward(tape, dy, state).flat, grads),
):
    enough = 0
    for more in range(0, 160 << 20, 1 << 18):
        got = attempt(run, more)
        enough += got is not None
        wrong += got is not None and not np.array_equal(got, right)
        if enough == 3:
            done += 1
            break
failed = {name: came.count(1) for name, came in codes.items()}
after = bool(np.array_equal(layer(x, state)[0], expected))
print(json.dumps({"failed": failed, "done": done, "wrong": wrong, "after": after}))
"""


REFUSED = """
import json, sys
import numpy as np, compuerta
from compuerta import recurrence
compuerta.use_engine(sys.argv[1])
compuerta.set_num_threads(1)
library, codes = recurrence.binding.load(), []
run = library.forward
library.forward = lambda r: codes.append(run(r)) or codes[-1]
layer = compuerta.GRU(1, 16, rng=0)
refused = 0
for state in (None, np.zeros((1, 120_000, 16), np.float32)):  # without a state a call takes a way of its own
    try:
        layer(np.ones((120_000, 1, 1), np.float32), state)
    except MemoryError:
        refused += 1
layer(np.ones((2, 1, 1), np.float32), np.zeros((1, 2, 16), np.float32))
print(json.dumps([refused, *codes]))
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_memory_that_runs_out_anywhere_is_an_error_and_no_crash(variant, threads):
    """Each attempt may have a little more than the one before, so that in turn every request fails."""
    if SANITIZED:
        # The address space is the sanitizer's own: it fails large requests itself, larger than NumPy's are here.
        refuse = ":allocator_may_return_null=1:max_allocation_size_mb=40"
        options = {k: os.environ.get(k, "") + refuse for k in ("ASAN_OPTIONS", "TSAN_OPTIONS")}
        done = python(REFUSED, variant, **options)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [2, 1, 0]
        return
    # Large pieces come from the system each time, and not from what was freed before.
    came = printed(MEMORY, variant, threads, MALLOC_MMAP_THRESHOLD_="65536")
    if sys.platform.startswith("linux"):
        assert came["failed"]["forward"] > 0
        assert came["failed"]["backward"] > 0
    assert came["done"] == 3
    assert came["wrong"] == 0
    assert came["after"]


# ---- without the library --------------------------------------------------------------------------------------------

WITHOUT = """
import json
import numpy as np, compuerta
from compuerta import recurrence
why = recurrence.why_not_native()
said = {"engine": compuerta.engine(), "engines": list(recurrence.engines()), "why": [why.text("en"), why.text("es")]}
for name in ("native", "native:base"):
    try:
        compuerta.use_engine(name)
    except compuerta.errors.SettingError as error:
        said[name] = [str(error), error.text("es")]
said["still"] = compuerta.engine()
said["y"] = compuerta.LSTM(2, 3, rng=0)(np.ones((4, 2)))[0].tolist()
print(json.dumps(said))
"""
COMPUTES = "import numpy, compuerta; print(compuerta.LSTM(2, 3, rng=0)(numpy.ones((4, 2)))[0].size)"


def elf_for(machine):
    """The header of a shared object for another machine, and then nothing that matters."""
    header = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return header + bytes(8192)


def something_else():
    """A shared library that is none of ours: one of those that this Python has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line and "r-x" in line}
    return next(path for path in sorted(paths) if "libc.so" in path or "libc-" in path or "ld-musl" in path)


def whole():
    found = binding.find()
    return b"\x7fELF\x02" + bytes(20) if found is None else found.read_bytes()


BROKEN = {
    "text": lambda path: path.write_text("This is no library.\n" * 100),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "another machine": lambda path: path.write_bytes(elf_for(243 if os.uname().machine != "riscv64" else 62)),
    "cut short": lambda path: path.write_bytes(whole()[: len(whole()) // 2]),
    "without its last byte": lambda path: path.write_bytes(whole()[:-1]),
    "another library": lambda path: path.symlink_to(something_else()),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_library_that_cannot_be_used_is_done_without(tmp_path, broken):
    """NumPy computes; who asks for the native engine is told in one sentence why it is not there, in both languages."""
    path = tmp_path / "some_library.so"
    BROKEN[broken](path)
    said = printed(WITHOUT, COMPUERTA_NATIVE_LIBRARY=str(path))
    assert said["engine"] == said["still"] == "numpy"
    assert said["engines"] == ["numpy"]
    for name in ("native", "native:base"):
        for sentence, why, start in zip(said[name], said["why"], ("engine: ", "motor: "), strict=True):
            assert sentence.startswith(start)
            assert why in sentence
            assert "some_library.so" in sentence
            assert "\n" not in sentence
            assert "{" not in sentence
            assert sentence.endswith(".")
    expected = LSTM(2, 3, rng=0)(np.ones((4, 2)))[0]
    np.testing.assert_allclose(said["y"], expected, rtol=0, atol=1e-6)

    asked = python(COMPUTES, COMPUERTA_NATIVE_LIBRARY=str(path), COMPUERTA_ENGINE="native")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.splitlines()[-1] == f"compuerta.errors.SettingError: {said['native'][0]}"
    assert printed(COMPUTES, COMPUERTA_NATIVE_LIBRARY=str(path), COMPUERTA_ENGINE="numpy") == 12


def test_a_library_of_another_version_is_not_used(library, monkeypatch):
    """The structs that both sides have would mean something else on each."""
    monkeypatch.setattr(binding, "INTERFACE", binding.INTERFACE + 1)
    with pytest.raises(OSError, match="not the library of this version"):
        binding.Library(str(binding.find()))


STRUCTS = ("layer", "activation", "parameters", "weights", "tape", "forward", "backward", "step", "dense", "adam_step")


@pytest.mark.parametrize("name", STRUCTS)
def test_the_structs_have_the_fields_of_the_header_in_its_order(name):
    """Every name, and whether it is a pointer or a number: what the version number alone would not notice."""
    header = (Path(__file__).parent.parent / "native" / "compuerta.h").read_text(encoding="utf-8")
    body = re.search(rf"^struct {name} {{\n(.*?)^}};", header, re.MULTILINE | re.DOTALL).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    fields = []
    for line in filter(str.strip, body.split(";")):
        kind, names = re.match(r"\s*((?:const )?(?:struct )?\w+) (.*)", line, re.DOTALL).groups()
        for field in names.split(","):
            pointer = field.strip().startswith("*")
            fields.append((field.strip(" *\n"), "pointer" if pointer else "number" if kind == "int64_t" else kind))
    python = {
        "weights": "PackedWeights",
        "tape": "TapeBuffers",
        "adam_step": "AdamStep",
        "activation": "ActivationOf",
    }.get(name, name.title())
    kinds = {ctypes.c_void_p: "pointer", ctypes.c_int64: "number", ctypes.c_double: "double"}
    kinds[binding.ActivationOf] = "struct activation"
    mine = [(name, kinds.get(kind, "pointer")) for name, kind in getattr(binding, python)._fields_]
    assert mine == fields


def test_a_package_without_the_library_says_that_it_was_not_built(tmp_path):
    package = os.path.dirname(os.path.dirname(os.path.abspath(recurrence.__file__)))
    shutil.copytree(package, tmp_path / "compuerta", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.dylib"))
    # An editable install would point the copy's name back to the sources.
    code = f"""import sys
sys.path.insert(0, {str(tmp_path)!r})
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in type(finder).__name__]
"""
    said = printed(code + WITHOUT, COMPUERTA_NATIVE_LIBRARY=None)
    assert said["engine"] == "numpy"
    assert "C compiler" in said["native"][0]
    assert "compilador de C" in said["native"][1]
    assert said["why"][0] in said["native"][0]


def test_an_unknown_variant_is_refused_by_name(variant):
    for name in ("native:abacus", "Native", "", None, 3):
        with pytest.raises(SettingError, match=r"expected one of native, .*numpy; got ") as caught:
            recurrence.use_engine(name)
        assert repr(name) in str(caught.value)
        assert recurrence.engine() == variant


def test_the_native_engine_is_what_runs_where_it_is_there(library):
    code = "import compuerta; print(f'\"{compuerta.engine()}\"')"
    assert printed(code) == "native"
    assert printed(code, COMPUERTA_ENGINE="numpy") == "numpy"
    assert printed(code, COMPUERTA_ENGINE=VARIANTS[-1]) == VARIANTS[-1]
