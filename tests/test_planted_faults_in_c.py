"""Do the tests of the native engine bite? Faults as in test_planted_faults.py, in C.

Each is planted in a copy of native/, of which one variant is built into a library of its own.
"""

import os
import shutil
import subprocess
import sys

import pytest

from planting import NATIVE_ANY, TESTS, assert_red, environment, fault, plant, run

pytestmark = pytest.mark.planted

NATIVE = TESTS.parent / "native"

NATIVE_LSTM = "test_native.py::test_an_lstm_is_the_textbook_one_forward_and_backward"
NATIVE_GRU = "test_native.py::test_a_gru_is_its_equations"
NATIVE_STEP = "test_native.py::test_gradients_by_complex_step"
NATIVE_LARGE = "test_native_bits.py::test_large_inputs_saturate"
NATIVE_STREAM = "test_native_bits.py::test_a_stream_gives_the_bits_of_the_sequence"
NATIVE_VARIANTS = "test_native_variants.py"
NATIVE_VARIANT = f"{NATIVE_VARIANTS}::test_a_variant_is_the_cell_that_runs_step_by_step"
NATIVE_SUBNORMAL = "test_native_subnormals.py"
NATIVE_UNITS = "test_native_training.py::test_activations_are_right_to_four_units_in_the_last_place"

C_FAULTS = {
    "input and forget gate swapped": fault(
        "packing.part.h", "lstm[] = {1, 0, 3, 2}", "lstm[] = {0, 1, 3, 2}", NATIVE_LSTM
    ),
    "derivative of the forget gate": fault(
        "backward.part.h", "dc_ * load(c_before) * f * (1 - f)", "dc_ * load(c_before) * f", NATIVE_STEP
    ),
    "dc carried past the forget gate": fault("backward.part.h", "store(dc, dc_ * f);", "store(dc, dc_);", NATIVE_STEP),
    "dh past the update gate": fault("backward.part.h", "store(dh, dh_ * z);", "store(dh, dh_);", NATIVE_STEP),
    "sign in the update gate's derivative": fault(
        "backward.part.h", "(load(h_before) - m) * z", "(m - load(h_before)) * z", NATIVE_STEP
    ),
    "gradient of b_hn without the reset gate": fault(
        "gradients.part.h", "r->db_hn + p * VL, total[3]", "r->db_hn + p * VL, total[2]", NATIVE_STEP
    ),
    "reset gate left out": fault("step.part.h", "load(z + 2 * VL) + reset * q", "load(z + 2 * VL) + q", NATIVE_GRU),
    "a chunk begins from the initial state": fault(
        "forward.part.h", ".h_before = m.h + h_row_at(&m, s) * HQ",
        ".h_before = m.h + h_row_at(&m, f->tape && s == s0 ? 0 : s) * HQ", NATIVE_LSTM,
    ),
    "gradients of the weights begun anew at every chunk": fault(
        "gradients.part.h", "      add = 1;\n", "", NATIVE_LSTM
    ),
    "ids of the first chunk in every chunk": fault("gradients.part.h", "(ids[base + i] * G", "(ids[i] * G", NATIVE_ANY),
    "padding of the last vector stored into y": fault(
        "forward.part.h", "memcpy(y, h + i * HQ, (size_t)P", "memcpy(y, h + i * HQ, (size_t)rounded(P)", NATIVE_ANY
    ),
    "every second step with the weights of the wrong panel": fault(
        "step.part.h", "h_panels + p * H * G * VL", "h_panels + k * H * G * VL", NATIVE_LSTM
    ),
    "final state of the longest rows only": fault(
        "forward.part.h", "if (i < after) continue;", "if (s + 1 < m->j->steps) continue;", NATIVE_LSTM
    ),
    "reversed over the padding too": fault(
        "batch.part.h", "f->reverse ? length_of(f, b) - 1 - s", "f->reverse ? f->t - 1 - s", NATIVE_GRU
    ),
    "large inputs gathered as they are": fault(
        "forward.part.h", "-at_least(-at_least(load_some(x + k, (int)least(VL, n - k)), -MOST), -MOST)",
        "load_some(x + k, (int)least(VL, n - k))", NATIVE_LARGE,
    ),
    "minus infinity not seen": fault("forward.part.h", "(x[k] > MOST) | (x[k] < -MOST)", "(x[k] > MOST)", NATIVE_LARGE),
    "stream forgets c": fault(
        "stream.part.h", "if (lstm) read_panels((real *)s->c + b * H, c + b * VL, n * VL, H);", "", NATIVE_STREAM
    ),
    "sign of tanh lost": fault("vector.h", "((ivec)t & ~SIGN) | ((ivec)x & SIGN)", "(ivec)t & ~SIGN", NATIVE_LSTM),
    "tail of the sigmoid cut off": fault(
        "vector.h", "LEAST_ARGUMENT (-750.0)", "LEAST_ARGUMENT (-740.0)", NATIVE_UNITS
    ),
    "softmax without its one-hot": fault(
        "training.part.h", "  to[target] -= scale;\n", "",
        "test_native_training.py::test_cross_entropy_over_threads_and_its_gradient",
    ),
    "decay left out of the gradient": fault(
        "training.part.h", " + pulled * p_;", ";", "test_native_training.py::test_adam_over_threads"
    ),
    "gradient of the dense weights from the first rows only": fault(
        "dense.part.h", "dz + from * j->pitch, j->pitch, j->first", "dz, j->pitch, j->first",
        "test_native_training.py::test_dense_and_its_gradients_over_threads",
    ),
    "gradient of the dense weights begun anew with every rows at hand": fault(
        "dense.part.h", "j->pitch, j->first || from, sums", "j->pitch, from, sums",
        "test_native_training.py::test_dense_and_its_gradients_over_threads",
    ),
    "gradient of the dense bias begun anew with every rows at hand": fault(
        "dense.part.h", "vec total = j->first ? load(bias + v) : (vec){0};", "vec total = {0};",
        "test_native_training.py::test_dense_and_its_gradients_over_threads",
    ),
    "targets of the first rows for all rows at hand": fault(
        "dense.part.h", "d->targets[row]", "d->targets[from + i]",
        "test_native_training.py::test_dense_and_cross_entropy_at_once_over_threads",
    ),
    "rows that do not count left as they are": fault(
        "dense.part.h", "    memset(z + kept, 0, (size_t)(j->vectors * VL - kept) * sizeof(real));\n", "",
        "test_native_training.py::test_a_row_that_does_not_count_may_hold_anything",
    ),
    "infinity taken for a number": fault(
        "training.part.h", "if (zero != 0) j->not_finite = 1;", "if (zero > 0) j->not_finite = 1;",
        "test_native_training.py::test_one_number_that_is_not_finite_is_found_over_threads",
    ),
    "subnormal numbers computed by the caller": fault(
        "compuerta.c", "  FLUSHED;\n  return KERNEL(f->layer)->forward(f);", "  return KERNEL(f->layer)->forward(f);",
        f"{NATIVE_SUBNORMAL}::test_a_state_that_decays_goes_to_zero_past_the_normal_numbers",
    ),
    "subnormal numbers computed by the other threads": fault(
        "threads.c", "  flush_subnormals();\n", "",
        f"{NATIVE_SUBNORMAL}::test_a_state_that_decays_goes_to_zero_past_the_normal_numbers",
    ),
    "the caller's mode left changed": fault(
        "subnormals.h", "set_float_mode(*before)", "set_float_mode(*before | FLUSH)",
        f"{NATIVE_SUBNORMAL}::test_the_callers_arithmetic_stays_as_it_was",
    ),
    "peepholes of i and f swapped": fault(
        "packing.part.h", "fill_padded(to + HP, p, k.i < 0", "fill_padded(to, p, k.i < 0", NATIVE_VARIANT
    ),
    "o looks at c of the step before": fault(
        "variant.part.h", "s->o_peephole, s->c,", "s->o_peephole, s->c_before,", NATIVE_VARIANT
    ),
    "coupled gates: f is i": fault(
        "variant.part.h", "coupled ? 1 - i : all(1)", "coupled ? i : all(1)", NATIVE_VARIANT
    ),
    "coupled gates: di without df": fault("variant.part.h", "if (l->coupled) di -= df;", "", NATIVE_VARIANT),
    "a gradient through the clip": fault(
        "variant.part.h", "choose((z > bound) | (z < -bound), (vec){0}, load(to + k * VL))", "load(to + k * VL)",
        NATIVE_VARIANT,
    ),
    "a gradient through the clip of c": fault(
        "variant.part.h", "(all_of_it > bound) | (all_of_it < -bound)", "(all_of_it > bound)", NATIVE_VARIANT
    ),
    "o's peephole left out of dc": fault("variant.part.h", "      dc_ += p_o * dz_o;\n", "", NATIVE_VARIANT),
    "gradient of o's peephole from c of the step before": fault(
        "gradients.part.h", "load(dz + slot.o * VL) * load(c + (N + row) * VL)", "load(dz + slot.o * VL) * c_before",
        NATIVE_VARIANT,
    ),
    "gradient of the projection from the first panel only": fault(
        "gradients.part.h", "(const real *)j->b->dh + p * 4 * VL", "(const real *)j->b->dh",
        f"{NATIVE_VARIANTS}::test_a_projection_may_have_any_width",
    ),
    "padding that has run away in a product": fault(
        "backward.part.h", "dz_p[(k * 4 + g) * VL + v] = 0", "(void)g, (void)v",
        f"{NATIVE_VARIANTS}::test_what_is_only_padding_may_run_away_and_reaches_nothing",
    ),
    "slope of Softsign": fault("activations.part.h", "return 1 / (near * near)", "return 1 / near", NATIVE_VARIANT),
    "series of the logarithm cut short": fault("activations.part.h", "8 : 17", "8 : 8", NATIVE_VARIANT),
    "a stream's h taken for as wide as c": fault(
        "stream.part.h", "(const real *)s->h + b * P", "(const real *)s->h + b * H",
        f"{NATIVE_VARIANTS}::test_a_stream_of_a_variant_gives_the_bits_of_the_sequence",
    ),
    "a call from what was left in memory": fault(
        "forward.part.h", "memset(h_row, 0, (size_t)rounded(P) * sizeof(real));", "(void)0;",
        "test_native_bits.py::test_the_quickest_call_gives_the_bits_of_the_general_one",
    ),
    "coefficient of the exponential": fault("vector.h", "power[7] / 5040.0", "power[7] / 5041.0", NATIVE_UNITS),
}  # fmt: skip


#: What is compiled, by the name of its object: the file and its definitions.
UNITS = {
    "kernel_64": ("kernel.c", "-DCOMPUERTA_BITS=64"),
    "kernel_32": ("kernel.c", "-DCOMPUERTA_BITS=32"),
    "compuerta": ("compuerta.c",),
    "threads": ("threads.c",),
}


class Build:
    """One variant of the library, without the others. Only what the fault is in is compiled anew, of the kernel only
    that for double."""

    def __init__(self, folder):
        self.folder = folder
        self.compiler = next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)
        if self.compiler is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)("no C compiler to build the faults with")
        for unit in UNITS:
            self.compile(NATIVE, unit, folder)

    def command(self, *arguments):
        flags = ["-std=gnu11", "-O0", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
        done = subprocess.run([self.compiler, *flags, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def compile(self, source, unit, folder):
        file, *definitions = UNITS[unit]
        self.command("-DCOMPUERTA_ISA=base", *definitions, "-c", source / file, "-o", folder / f"{unit}.o")

    def compiled(self, source, file="kernel.c"):
        units = ["compuerta", "threads"] if file in ("compuerta.c", "threads.c", "subnormals.h") else ["kernel_64"]
        for unit in units:
            self.compile(source, unit, source)
        objects = [(source if unit in units else self.folder) / f"{unit}.o" for unit in UNITS]
        self.command("-shared", *objects, "-o", source / "library.so", "-pthread")
        return source / "library.so"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return Build(tmp_path_factory.mktemp("objects"))


@pytest.fixture
def copy_of_c(tmp_path):
    shutil.copytree(NATIVE, tmp_path / "native")
    return tmp_path / "native"


@pytest.mark.slow
def test_control_without_a_fault_in_c(build, copy_of_c):
    env = environment(library=build.compiled(copy_of_c))
    code = "from compuerta import recurrence; print(*recurrence.engines())"
    shown = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["native", "native:base", "numpy"]
    returncode, said = run(env, *sorted({f.red for f in C_FAULTS.values()}))
    assert returncode == 0, said


@pytest.mark.parametrize("name", C_FAULTS)
def test_fault_in_c_turns_a_test_red(build, copy_of_c, name):
    plant(copy_of_c, C_FAULTS[name])
    library = build.compiled(copy_of_c, C_FAULTS[name].file)
    assert_red(*run(environment(library=library), C_FAULTS[name].red))
