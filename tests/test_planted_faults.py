"""Do the tests bite? Each fault is planted in a copy of the source, and the tests named beside it must turn red.

Here are faults in Python, planted in a copy of the package and run on the NumPy engine, but for those in the native
engine's own module; those in C are in test_planted_faults_in_c.py.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import compuerta
from planting import NATIVE_ANY, Fault, assert_red, environment, fault, plant, run

pytestmark = pytest.mark.planted

SOURCE = Path(compuerta.__file__).parent
LSTM, GRU = "recurrence/numpy_lstm.py", "recurrence/numpy_gru.py"
BRIDGE = "recurrence/native.py"
READER, WRITER, DOCUMENT = (f"interop/onnx/{name}.py" for name in ("reader", "writer", "document"))
VARIANT, MINIMAL = "recurrence/equations/lstm.py", "recurrence/numpy_minlstm.py"
EQUATIONS, GENERAL_GRU = "recurrence/equations/__init__.py", "recurrence/equations/gru.py"

GOLDEN = "test_golden.py"
STEP = "test_recurrence.py::test_gradients_by_complex_step"
UNROLLED = "test_recurrence.py::test_forward_is_the_equations_unrolled"
TAPE = "test_recurrence.py::test_tape_reads_every_quantity_in_the_place_of_its_input"
STREAM = "test_layer_properties.py::test_stream_is_the_whole"
CARRIED = "test_interop.py"
FRAMEWORKS = CARRIED + "::test_a_file_of_a_framework_gives_its_numbers"
TEXTBOOK = "test_layers.py::test_lstm_is_the_textbook_one"
VARIANT_EQUATIONS = "test_variants.py::test_a_variant_is_its_equations"
VARIANT_STEP = "test_variants.py::test_gradients"
VARIANT_ROWS = "test_variant_layers.py::test_what_a_row_meets_does_not_depend_on_the_lengths_of_others"
MINIMAL_STEP = "test_min_lstm.py::test_gradients_through_a_scan_in_blocks"
RUNTIME = "test_onnx_operators.py::test_onnx_runtime_on_drawn_configurations"
WRITTEN = "test_onnx_files.py::test_a_written_model_runs_in_onnx_runtime_at_any_size"
FOREIGN = "test_onnx_files.py::test_files_of_pytorch_and_keras"
LIVE = "test_page_live.py::test_every_cell_runs_live_in_both_directions_and_can_be_held"
TRACE, INSIDE, STEPWISE = "test_trace.py", "layers/recorded_run.py", "recurrence/stepwise.py"
READINGS, SEARCH = "see/readings.py", "see/search.py"
LEDGER = "test_readings.py::test_the_ledger_is_the_sum_written_out_and_sums_to_the_memory"
FOLLOWS = "test_readings.py::test_the_unit_that_follows_is_found_and_judged_on_what_it_was_not_chosen_on"
ALL = (GOLDEN, STEP, UNROLLED, TAPE, STREAM, TEXTBOOK)

FAULTS = {
    "input and forget gate swapped on the way in": fault(
        LSTM, "_FROM_PUBLIC = (2, 1, 0, 3)", "_FROM_PUBLIC = (2, 0, 1, 3)", UNROLLED
    ),
    "candidate and output gate not reordered": fault(
        LSTM, "_FROM_PUBLIC = (2, 1, 0, 3)", "_FROM_PUBLIC = (3, 1, 0, 2)", TEXTBOOK
    ),
    # Another order of the blocks, forward and backward alike: a consistent LSTM, so that only an outsider can tell.
    "order i, f, o, g in place of PyTorch's, everywhere": Fault(
        LSTM,
        (
            ("_FROM_PUBLIC = (2, 1, 0, 3)", "_FROM_PUBLIC = (3, 1, 0, 2)"),
            ("i_, out=dz_blocks[rows, 2]", "i_, out=dz_blocks[rows, 3]"),
            ("tanh_, out=dz_blocks[rows, 3]", "tanh_, out=dz_blocks[rows, 2]"),
            ("dz_blocks[start:stop, :3] *= dc_t", "dz_blocks[start:stop, [0, 1, 3]] *= dc_t"),
            ("dz_blocks[start:stop, 3] *= dh_t", "dz_blocks[start:stop, 2] *= dh_t"),
        ),
        GOLDEN,
    ),
    "reset and update gate swapped": fault(
        GRU, "step[:2], step[0], step[1], step[2]", "step[:2], step[1], step[0], step[2]", GOLDEN
    ),
    "final dc dropped": fault(
        LSTM, "packing.sort(dh_n).copy(), packing.sort(dc_n).copy()",
        "packing.sort(dh_n).copy(), np.zeros_like(packing.sort(dc_n))", STEP,
    ),
    "sign of a derivative": fault(
        LSTM, "subtract(1, one_minus, out=one_minus)\n        dc_dh",
        "add(1, one_minus, out=one_minus)\n        dc_dh", STEP,
    ),
    "derivative of the forget gate": fault(LSTM, "one_minus *= f_\n", "one_minus *= i_\n", STEP),
    "sign in the update gate's derivative": fault(GRU, "subtract(h_, n_, out", "subtract(n_, h_, out", STEP),
    "dh not carried to the step before": fault(
        LSTM, "np.matmul(dz[start:stop].reshape(shape), w_h, out=product)", "dh_t[...] = 0", STEP
    ),
    "dc not carried to the step before": fault(LSTM, "            dc_t *= f[start:stop]\n", "", STEP),
    "dh past the update gate not carried": fault(GRU, "dh_t *= z[start:stop]\n", "dh_t *= 0\n", STEP),
    "c not carried where nothing is recorded": fault(
        LSTM, "multiply(c_g, f_i, out=c_g)\n            cell += g\n", "multiply(f_i[1], g, out=cell)\n", UNROLLED
    ),
    "lengths ignored": fault(
        "recurrence/packing.py", "if lengths is None or bool((lengths == t).all()):", "if True:", UNROLLED
    ),
    "not reversed": fault(
        "recurrence/packing.py", "self._step = lengths[self._at] - 1 - step if reverse else step", "self._step = step",
        UNROLLED,
    ),
    "reversed over the padding too": fault(
        "recurrence/packing.py", "lengths[self._at] - 1 - step if", "lengths.max() - 1 - step if", UNROLLED
    ),
    "outputs of the second direction left in the order read": fault(
        "recurrence/packing.py", "return out[:, ::-1] if self.reverse else out", "return out", UNROLLED
    ),
    "final state of a short row taken at the end of the longest": fault(
        "recurrence/packing.py", "            out[:count] = history[self.n + start : self.n + start + count]\n",
        "            out[:count] = history[self.n + start]\n", UNROLLED,
    ),
    "ONNX's forget and cell block swapped": fault(
        "interop/gate_orders.py", '"onnx": "iofg"', '"onnx": "iogf"', RUNTIME
    ),
    "ONNX's peepholes in our order": fault("interop/gate_orders.py", '"onnx": "iof"}', '"onnx": "ifo"}', RUNTIME),
    "a second bias of an operator dropped": fault(
        "interop/onnx/operators.py", "b, b_hn = b_w + b_r, None", "b, b_hn = b_w.copy(), None", RUNTIME
    ),
    "clip forgotten where activations are any": fault(
        EQUATIONS, "else np.minimum(np.maximum(value, -bound), bound)", "else value", RUNTIME
    ),
    "update gate the other way where activations are any": fault(
        GENERAL_GRU, "(1 - z) * n + z * h_prev", "z * n + (1 - z) * h_prev", RUNTIME
    ),
    "a written stack that starts every layer from zeros": fault(
        WRITER, 'initial.append(graph.add("Expand", start, shape))',
        'initial.append(graph.add("Mul", graph.add("Expand", start, shape), graph.weight("0", first[:1, :, :1] * 0)))',
        WRITTEN,
    ),
    "a row of length 0 left to the runtime": fault(
        WRITER, 'source = graph.add("Where", some, source, before)', "pass", "test_onnx_files.py::test_lengths"
    ),
    "bias of a graph's dense layer dropped": fault(
        READER, 'dense(below.parameters["w"], _bias(b, len(below.parameters["w"])))',
        'dense(below.parameters["w"], None)', FOREIGN,
    ),
    "last step of both directions taken at the end": fault(READER, "both_ends=d == 2)", "both_ends=False)", FOREIGN),
    "external data from anywhere": fault(
        DOCUMENT, "if os.path.commonpath((folder, target)) != folder:", "if False:",
        "test_onnx_hostile.py::test_data_outside_the_folder_is_not",
    ),
    "a checksum that is not compared": fault(
        "files.py", "if stored != checksum(text, version):", "if False:",
        "test_onnx_hostile.py::test_every_flipped_bit_of_ours_is_refused",
    ),
    "b_hn forgotten": fault(GRU, "np.add(n, weights.b_hn, out=q)", "np.copyto(q, n)", GOLDEN),
    "gradient of b_hn without the reset gate": fault(
        GRU, "np.sum(da[:, 3], axis=0, out=db_hn)", "np.sum(da[:, 0], axis=0, out=db_hn)", STEP
    ),
    "mask not scaled": fault(
        "recurrence/masks.py", "dtype.type(1 / (1 - p))", "dtype.type(1)", "test_feedforward.py::test_dropout"
    ),
    "mask left out on the way back": fault(
        "layers/stack.py", "total if mask is None or total is None else total * mask", "total",
        "test_layers.py::test_stack_gradients",
    ),
    "last token not summed": fault(
        "recurrence/tokens.py", "out[ordered[starts]] = np.add.reduceat(rows[order], starts, axis=0)",
        "out[ordered[starts[:-1]]] = np.add.reduceat(rows[order], starts, axis=0)[:-1]", STEP,
    ),
    "dx of one direction only": fault(
        "layers/stack.py", "total = dx_d if total is None else total + dx_d", "total = dx_d",
        "test_layers.py::test_stack_gradients",
    ),
    "dx without the candidate": fault(
        GRU, "packing.unpack(from_n @ np.roll(weights.public_w_x, hidden, axis=0))",
        "packing.unpack(flat[:, hidden : 3 * hidden] @ weights.public_w_x[: 2 * hidden])", STEP,
    ),
    "state as (c, h)": fault(
        "layers/stack.py", "public = state[0], state[1]", "public = state[1], state[0]",
        GOLDEN,
    ),
    "stream forgets c": fault(LSTM, "        self.c *= self._f\n", "        self.c[...] = 0\n", STREAM),
    "stream forgets h": fault(GRU, "        self.h[...] = self._next\n        return self.h",
                              "        return self._next", STREAM),
    "weights packed once and for all": fault(
        "layers/stack.py", "if cached is None or cached[0] != version:", "if cached is None:",
        "test_parameters.py::test_packed_weights_follow_every_write",
    ),
    "the way back computes in the tape": fault(
        LSTM, "dc_dh = one_minus\n        dc_dh *= o_", "dc_dh = o_\n        dc_dh *= one_minus",
        "test_layer_properties.py::test_a_tape_may_be_walked_twice_and_belongs_to_nobody_else",
    ),
    "weights packed for one engine given to another": fault(
        "layers/stack.py", "(cell, table is not None)", "table is not None",
        "test_native_process.py::test_the_engine_may_change_between_forward_and_backward",
    ),
    "strides of the gradients not told to the library": fault(
        BRIDGE, "back.dy_n, back.dy_t, _ = (stride // dy.itemsize for stride in dy.strides)",
        "back.dy_n, back.dy_t = dy.shape[1] * dy.shape[2], dy.shape[2]", NATIVE_ANY,
    ),
    "an embedding folded upside down": fault(
        "layers/stack.py", "recurrence.active().dense(w_x, table, None)",
        "recurrence.active().dense(w_x, table[::-1], None)",
        "test_native_training.py::test_an_embedding_folded_into_the_layer_above_gives_the_same_gradients",
    ),
    "textbook: output gate's place in the gradient of C": fault(
        "textbook.py", 'dC + dh * s["o"] * (1', 'dC + dh * s["i"] * (1',
        "test_textbook.py::test_gradients_by_complex_step",
    ),
    "o's peephole looks at the step before": fault(
        VARIANT, 's.a["o"] = gate("o", new)', 's.a["o"] = gate("o", c_prev)', VARIANT_EQUATIONS
    ),
    # Consistent forward and backward: only an outsider can tell.
    "peepholes in ONNX's order, everywhere": Fault(
        VARIANT,
        (
            ("in zip(gates, peepholes", "in zip(sorted(gates, key='iof'.index), peepholes"),
            ('in zip(v.gates, d["p"]', 'in zip(sorted(v.gates, key="iof".index), d["p"]'),
        ),
        VARIANT_EQUATIONS,
    ),
    "the weights of gates on gates transposed": fault(
        VARIANT, 'columns(s.seen_r @ w["w_r"].T', 'columns(s.seen_r @ w["w_r"]', VARIANT_EQUATIONS
    ),
    "zoneout mixes the other way round": fault(
        VARIANT, "d_h * h_prev + (1 - d_h) * h", "(1 - d_h) * h_prev + d_h * h", VARIANT_EQUATIONS
    ),
    "c clipped where it is shown and not where it is kept": fault(
        VARIANT, '["c"] = new if v.zoneout[0] == 0', '["c"] = f * c_prev + i * g if v.zoneout[0] == 0',
        VARIANT_EQUATIONS,
    ),
    "what f takes from a coupled i": fault(
        VARIANT, 'da["i"] - clamps.mask_gradient("f", da["f"])', 'da["i"]', f"{VARIANT_STEP}[coupled-whole-]"
    ),
    "a peephole's way back to c": fault(
        VARIANT, 'dc_before += w["p_" + k] * dz[k]', "dc_before += 0", f"{VARIANT_STEP}[peepholes-whole-]"
    ),
    "a clip that the gradient passes": fault(
        EQUATIONS, "return d * passes", "return d", f"{VARIANT_STEP}[cell clip-whole-]"
    ),
    "what zoneout kept counted as computed": fault(
        VARIANT, "dh = dh if dh_prev is None else dh - dh_prev", "dh = dh", f"{VARIANT_STEP}[zoneout-whole-]"
    ),
    "gradient of a dropped weight": fault(
        STEPWISE, 'd["w_h"] *= tape.masks.w_h', 'd["w_h"] *= 1', f"{VARIANT_STEP}[weight drop-whole-training]"
    ),
    "recurrent dropout left out on the way back": fault(
        VARIANT, "dh_before if m is None else dh_before * m", "dh_before",
        f"{VARIANT_STEP}[recurrent dropout-whole-training]",
    ),
    "normalisation taken for a constant scale": fault(
        "recurrence/normalize.py", "    da -= n.value * _mean(n.value * dv)\n", "", f"{VARIANT_STEP}[layer norm-whole-]"
    ),
    "zoneout drawn by packed row": fault(
        "recurrence/masks.py", "packing.pack(hits(rng, (n, t, width), p))", "hits(rng, (packing.rows, width), p)",
        VARIANT_ROWS,
    ),
    "gradient of the learnt state from one row": fault(
        "layers/stack.py", "part.sum(axis=0) if tape.from_learnt_state", "part[0] if tape.from_learnt_state",
        "test_variants.py::test_gradients_of_the_learnt_state",
    ),
    "slope of an activation": fault(
        "activations.py", "1 / (1 + np.abs(z)) ** 2", "1 / (1 + np.abs(z))",
        "test_variants.py::test_slopes_of_activations",
    ),
    "blocks of a scan joined by their own ends": fault(
        "recurrence/scan.py", "ends[:-1, None]", "ends[1:, None]",
        "test_min_lstm.py::test_a_scan_in_blocks_is_the_recurrence_step_by_step",
    ),
    "sign of the forget share's derivative": fault(
        MINIMAL, "np.multiply(-delta,", "np.multiply(delta,", MINIMAL_STEP
    ),
    "the share kept taken from the step itself on the way back": fault(
        MINIMAL, "np.concatenate((np.ones_like(last)[None], keep[:0:-1]))[: len(keep)]", "keep[::-1]", MINIMAL_STEP
    ),
    # Models of other frameworks.
    "Karpathy's output gate taken for the candidate": fault(
        "interop/gate_orders.py", '"karpathy": "ifog"', '"karpathy": "ifgo"', CARRIED + "::test_karpathys_lstm"
    ),
    "TensorFlow 1's candidate taken for the forget gate": fault(
        "interop/gate_orders.py", '"tensorflow1": "igfo"', '"tensorflow1": "ifgo"',
        CARRIED + "::test_tensorflow_1s_cell"
    ),
    "Keras's GRU gates swapped": fault("interop/gate_orders.py", '"keras": "zrn"', '"keras": "rzn"', FRAMEWORKS),
    "forget_bias not added": fault(
        "interop/tensorflow1.py", "+= forget_bias", "+= 0 * forget_bias", CARRIED + "::test_tensorflow_1s_cell"
    ),
    "PyTorch's second bias forgotten": fault(
        "interop/pytorch.py", "b = b_ih + b_hh if b_hh.any() else b_ih", "b = b_ih", FRAMEWORKS
    ),
    "a GRU's recurrent bias taken out of the reset gate's product": fault(
        "interop/pytorch.py", "b_hn = b_hh[2 * hidden :]", "b_hn = 0 * b_hh[2 * hidden :]", FRAMEWORKS
    ),
    "both directions from the first": fault(
        "interop/pytorch.py", 'else f"_l{k}" + "_reverse" * d', 'else f"_l{k}" + "_reverse" * (1 - d)', FRAMEWORKS
    ),
    "Keras's second row of biases forgotten": fault(
        "interop/keras.py", "b = b + recurrent if recurrent.any() else b", "b = b", FRAMEWORKS
    ),
    "a comparison that never sees a state": fault(
        "interop/verify.py", "if ours[1] is not None and others[1] is not None", "if False",
        "test_convert.py::test_a_comparison_finds_what_only_shows_here_and_there",
    ),
    "a tensor beyond its storage": fault(
        "interop/torch_file.py", "offset + span > len(values)", "span > len(values)",
        "test_interop_hostile.py::test_a_tensor_that_does_not",
    ),
    "an archive that inflates without end": fault(
        "interop/archive.py", "if inflated > size + SLACK", "if inflated < 0", "test_interop_hostile.py::test_bombs"
    ),
    "a pre-activation without its bias": fault(
        INSIDE, "dense(x_now, w_x, b) if", "dense(x_now, w_x, None) if",
        f"{TRACE}::test_pre_activations_give_the_gates",
    ),
    "a pre-activation of the h of its own step": fault(
        INSIDE, "np.concatenate((before_it, h[:, now][:, :-1]), axis=1)", "h[:, now].copy()",
        f"{TRACE}::test_pre_activations_give_the_gates",
    ),
    "gradients of one stack at the places of another": fault(
        INSIDE, "(name, first + k, d): values", "(name, k, d): values",
        f"{TRACE}::test_gradients_stand_at_the_layer_that_they_are_of",
    ),
    "gradient of c without what its h is worth": fault(
        VARIANT, 'da["c"] = dnew', 'da["c"] = dc', f"{TRACE}::test_gradients_of_every_number_by_complex_step"
    ),
    "gradient of a stepwise GRU's reset gate": fault(
        GENERAL_GRU, 'da["r"], dq = dz_n * s.q, dz_n * r', 'da["r"], dq = dz_n * r, dz_n * s.q',
        f"{TRACE}::test_gradients_of_every_number_by_complex_step",
    ),
    "the way back through a reset gate before the product": fault(
        GENERAL_GRU, 'da["r"], dh_prev = dq * h_prev, dq * r', 'da["r"], dh_prev = dq * h_prev, dq',
        "test_stepwise.py::test_gradients[reset before-]",
    ),
    "the way back through the simple recurrence": fault(
        "recurrence/equations/rnn.py", 'dz @ w["w_h"]', 'dz @ w["w_h"].T', "test_stepwise.py::test_gradients[simple-]"
    ),
    "a tape made again whose steps follow themselves": fault(
        STEPWISE, "packing.before(np.concatenate((packing.sort(first), a[part])))", "a[part]",
        "test_stepwise.py::test_a_tape_made_again_from_its_quantities_flows_back_as_the_first[reset after]",
    ),
    "a forget gate that is 1 − i cannot be held": fault(
        VARIANT, 'clamps.apply("f", 1 - i)', "1 - i", f"{TRACE}::test_holding_a_unit_and_the_gradient_of_what_is_held"
    ),
    "a gradient passes what is held": fault(
        "recurrence/clamps.py", "return self._put(key, gradient, 0)", "return gradient",
        f"{TRACE}::test_gradients_of_the_parameters_of_a_held_run",
    ),
    "steps of a part numbered from its own beginning": fault(
        "layers/axes.py", "steps=(np.arange(t) if self.steps is None else self.steps)[steps]", "steps=steps",
        "test_trace_files.py::test_a_part_of_a_trace",
    ),
    "pre-activations of what reads backward begin in the padding": fault(
        INSIDE, "h_prev[begins, starts[begins] - begin] = first[begins]", "pass",
        f"{TRACE}::test_pre_activations_give_the_gates",
    ),
    "a block of pre-activations from an h that was overwritten": fault(
        INSIDE, "reversed(range(0, t, size))", "range(0, t, size)", f"{TRACE}::test_pre_activations_give_the_gates"
    ),
    "a step of a part follows the part's own step before": fault(
        "layers/trace.py", "source = self._source.within(source)", "pass",
        "test_explain.py::test_a_step_of_a_part_follows_what_came_before_it_in_the_whole",
    ),
    "a GRU said to write as much as it keeps": fault(
        "gates.py", "share = 1 - keep if", "share = keep if",
        "test_explain.py::test_every_number_told_is_that_of_the_trace",
    ),
    "zoneout left out of the equation of a memory": fault(
        "gates.py", "if self.zoneout:", "if False:", "test_kinds.py::test_the_memory_is_what_its_equation_says[zoneout]"
    ),
    "a subclass of LSTM with another cell written as an LSTM": fault(
        "interop/weights.py", "layer.kind.key in {kind.key for kind in kinds}", "True",
        "test_kinds.py::test_a_new_kind_is_not_converted_as_another[keras]",
    ),
    "one unit told under the number of the first": fault(
        "see/explain.py", "self.first + int(u) + 1", "int(u) + 1", "test_explain.py::test_one_unit_goes_by_its_number"
    ),
    "a reset before the product told as one after it": fault(
        "layers/gru.py", "gates.GRU if self.reset_after else gates.GRU_RESET_BEFORE", "gates.GRU",
        "test_explain.py::test_every_number_told_is_that_of_the_trace",
    ),
    "the ledger takes a step's own gate off what it writes": fault(
        READINGS, "shares[s] = remaining * m.write[s]", "shares[s] = remaining * m.keep[s] * m.write[s]", LEDGER
    ),
    "the ledger of what reads backward in the order of reading": fault(
        READINGS, "return Ledger(shares[np.argsort(m.steps)]", "return Ledger(shares", LEDGER
    ),
    "padding counts as closed": fault(
        READINGS, "trace[gate, layer, direction][valid]", "trace[gate, layer, direction].reshape(n * t, -1)",
        "test_readings.py::test_saturation_counts_every_valid_step_and_no_other",
    ),
    "a unit judged on what it was chosen on": fault(
        SEARCH, "_score(sign * second[k], yes)", "_score(sign * first[k], yes)", FOLLOWS
    ),
    "chance asked with the labels as they are": fault(SEARCH, "np.roll(y, int(shift))", "y", FOLLOWS),
    "ties count as wins": fault(
        SEARCH, "first + (counts + 1) / 2", "first + counts", "test_readings.py::test_auroc_is_the_chance_of_a_pair"
    ),
    "the held model is the free one": fault(
        SEARCH, "model.score(text, clamp={(key, layer, unit): value})", "model.score(text)",
        "test_readings.py::test_holding_a_unit_that_matters_costs_bits_and_one_that_does_not_costs_none",
    ),
    "a text under a picture read as a formula": fault(
        "see/plots.py", '.replace("$", r"\\$")', "", "test_plots.py::test_text_under_an_axis_is_text"
    ),
    "infinity has a say in a scale": fault(
        "see/scale.py", "finite = values[np.isfinite(values)]", "finite = values", "test_plots.py::test_the_scales"
    ),
    "text from a person as markup": fault(
        "see/html.py", 'for character in "<>&', 'for character in "&',
        "test_page_file.py::test_text_from_a_person_is_data",
    ),
    "a held run passed off as the model's own": fault(
        "see/scene.py", "if not whole or clamped or not has_inputs", "if not whole or not has_inputs",
        "test_page_file.py::test_a_scene_knows_when_the_page_can_run_the_model",
    ),
    "in the page, an output gate that peeps at c of the step before": fault(
        "see/page/cells.js", 'gate("o", c);', 'gate("o", s.c);', f"{LIVE}[peepholes]"
    ),
    "in the page, both directions handed on in the other order": fault(
        "see/page/model.js", "Float32Array.from(each.flatMap(", "Float32Array.from(each.reverse().flatMap(",
        f"{LIVE}[plain]",
    ),
    "in the page, anything passed off as rounding": fault(
        "see/page/parity.js", "Math.sqrt(n) * ROUNDED", "Math.sqrt(n) * 1e-3",
        "test_page_live.py::test_what_rounding_to_32_bits_explains_is_no_difference_and_a_wrong_weight_is",
    ),
    "in the page, a cost measured on the first model": fault(
        "see/page/find.js", "bits(freeRun(r.model, r.ids, []))", "bits(freeRun(data.model, r.ids, []))",
        "test_page_live.py::test_what_is_measured_and_forced_is_that_of_the_model_shown",
    ),
    "in the page, an edited text run from a state beyond the edit": fault(
        "see/page/model.js", "filter((n) => n <= same)", "filter((n) => n <= same + 60)",
        "test_page_live.py::test_a_text_that_is_edited_is_run_as_if_written_at_once",
    ),
    "in the page, every place goes on from its step before in time": fault(
        "see/page/model.js", "t + (data.places[p][1] ? 1 : -1)", "t - 1", f"{LIVE}[gru]"
    ),
}  # fmt: skip


@pytest.fixture
def copy_of_source(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "compuerta")  # with what is compiled already
    return tmp_path / "compuerta"


def engine_for(planted):
    """The engine that runs what the fault is in; None is the best there is."""
    return None if planted.red.startswith("test_native") else "numpy"


def needs_browser(planted):
    """Only a browser finds a fault in the page's script."""
    return planted.file.startswith("see/page/")


def all_red(engine, in_page):
    return sorted({f.red for f in FAULTS.values() if engine_for(f) == engine and needs_browser(f) == in_page})


@pytest.mark.slow
@pytest.mark.parametrize("engine", [None, "numpy"])
def test_control_without_a_fault(copy_of_source, engine):
    """The copy is what runs, and on it every test used here is green."""
    code = "import compuerta.layers, sys; print(compuerta.layers.__file__)"
    env = environment(copy_of_source.parent, engine)
    shown = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert Path(shown.stdout.strip()).resolve() == (copy_of_source / "layers" / "__init__.py").resolve()
    returncode, said = run(env, *all_red(engine, in_page=False), *ALL)
    assert returncode == 0, said


@pytest.mark.browser
def test_control_without_a_fault_in_the_page(copy_of_source):
    returncode, said = run(environment(copy_of_source.parent, "numpy"), *all_red("numpy", in_page=True))
    assert returncode == 0, said
    assert "skipped" not in said


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=[pytest.mark.browser] if needs_browser(f) else []) for k, f in FAULTS.items()]
)
def test_fault_turns_a_test_red(copy_of_source, name):
    plant(copy_of_source, FAULTS[name])
    assert_red(*run(environment(copy_of_source.parent, engine_for(FAULTS[name])), FAULTS[name].red))


def test_gradients_alone_cannot_see_a_consistent_order(copy_of_source):
    """Why golden numbers are needed: complex step checks that backward fits forward, not that forward is right."""
    plant(copy_of_source, FAULTS["order i, f, o, g in place of PyTorch's, everywhere"])
    returncode, said = run(environment(copy_of_source.parent, "numpy"), STEP)
    assert returncode == 0, said
