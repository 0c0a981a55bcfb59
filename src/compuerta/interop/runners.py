"""The other side of a comparison: models as PyTorch and Keras themselves run them, where those are installed.

Nothing else in the package imports a framework, and nothing does it before a comparison asks. A model that came from
others is made here, from the weights that its reader accepted; only a file that we wrote goes through the framework's
own loader, which is then put to the test as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formats import Runner
from .keras_config import Spec
from .layer_order import Part, Step

Array = NDArray[Any]


def pytorch(steps: Sequence[Step], source: str | Mapping[str, Array]) -> Runner | None:
    """Return a state_dict in modules of PyTorch, one above the other; None where PyTorch is not installed.

    Args:
        steps: the layers in the order in which they run.
        source: a safetensors file that we wrote, for PyTorch to load, or the arrays.
    """
    if find_spec("torch") is None:
        return None
    import torch

    if isinstance(source, str):
        from safetensors.torch import load_file

        weights = load_file(source)
    else:
        weights = {name: torch.from_numpy(np.array(value)) for name, value in source.items()}
    floats = {value.dtype for value in weights.values()}
    dtype = torch.float64 if torch.float64 in floats else torch.float32
    row = len(steps) > 1  # then a state is one of each recurrent layer, in order
    modules: list[Any] = [step if isinstance(step, str) else _module(torch, step, weights, dtype) for step in steps]

    def run(x: Array, state: Any) -> tuple[Array, Any]:
        with torch.no_grad():
            value = torch.from_numpy(np.array(x))
            value = value.to(dtype) if value.is_floating_point() else value.long()
            states = None if state is None else iter(state if row else (state,))
            finals = []
            for module in modules:
                if isinstance(module, torch.nn.RNNBase):
                    initial = next(states) if states is not None else None
                    value, final = module(value, _tensors(torch, initial, dtype))
                    finals.append(_arrays(final))
                else:
                    value = _weightless(torch, module, value) if isinstance(module, str) else module(value)
            return value.numpy(), tuple(finals) if row else finals[0] if finals else None

    return Runner(f"PyTorch {torch.__version__}", run)


def keras(specs: Sequence[Spec], weights: Sequence[Sequence[Array]], path: str | None) -> Runner | None:
    """Return a row of layers as Keras runs it, on whichever backend is installed; None where there is none.

    Args:
        specs: the layers, as :mod:`keras_config` checked them.
        weights: for each what its ``set_weights`` takes.
        path: a file that we wrote, which Keras loads in place of ``weights``.
    """
    backends = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow", "numpy": "numpy"}
    backend = next((name for name, module in backends.items() if find_spec(module)), None)
    if find_spec("keras") is None:
        return None
    os.environ.setdefault("KERAS_BACKEND", str(backend))
    import keras

    if path is not None and path.lower().endswith(".keras"):
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    else:
        shape = next((spec.options["batch_shape"] for spec in specs if "batch_shape" in spec.options), None)
        dtype = next((spec.options["dtype"] for spec in specs if spec.options.get("dtype")), "float32")
        layers = [_keras_layer(keras, spec) for spec in specs if spec.kind != "InputLayer"]
        if shape is None:
            width = weights[0][0].shape[0]
            shape = [None, None] if specs[0].kind == "Embedding" else [None, None, width]
        model = keras.Sequential([keras.Input(batch_shape=[None, None, *shape[2:]], dtype=dtype), *layers])
        if path is not None:
            model.load_weights(path)
        else:
            arrays = [values for spec, values in zip(specs, weights, strict=True) if spec.kind != "InputLayer"]
            for layer, values in zip(layers, arrays, strict=True):
                layer.set_weights([np.asarray(value) for value in values])

    def run(x: Array, state: Any) -> tuple[Array, Any]:
        y = keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(x), training=False))
        return (y[:, None] if y.ndim == 2 else y), None

    return Runner(f"Keras {keras.__version__} ({keras.backend.backend()})", run, takes_state=False)


def _keras_layer(keras: Any, spec: Spec) -> Any:
    """Make one layer of the options that were checked, and of none that is more than a number or a word."""
    plain = {k: v for k, v in spec.options.items() if v is None or isinstance(v, bool | int | float | str)}
    kind = getattr(keras.layers, spec.kind)
    if not spec.inner:
        return kind(**plain)
    inner = [_keras_layer(keras, part) for part in spec.inner]
    return kind(inner[0], **plain) if len(inner) == 1 else kind(inner[0], backward_layer=inner[1], **plain)


def flax(steps: Sequence[Step], places: Mapping[str, Sequence[Mapping[str, str]]], arrays: Any) -> Runner | None:
    """Return cells of Flax, each scanned over time by ``nn.RNN``; None where Flax is not installed, or for a model with
    other layers than cells."""
    if find_spec("flax") is None or not _all_cells(steps):
        return None
    import flax
    from flax import linen

    def scan(step: Part, hidden: int, leaves: Mapping[str, str], x: Array, initial: Any, back: bool) -> Any:
        tree: dict[str, Any] = {}
        for leaf, name in leaves.items():
            gate, _, what = leaf.replace(".", "/").rpartition("/")
            tree.setdefault(gate.rstrip("_"), {})[what] = arrays[name]
        cell = getattr(linen, f"{step.kind}Cell")(hidden, param_dtype=x.dtype)
        rnn = linen.RNN(cell, return_carry=True, reverse=back, keep_order=True)
        lstm = step.kind == "LSTM"  # whose carry is (c, h)
        carry = None if initial is None else initial[::-1] if lstm else initial[0]
        carry, y = rnn.apply({"params": {"cell": tree}}, x, initial_carry=carry)
        return y, carry[::-1] if lstm else (carry,)

    return _row_of_cells(f"Flax {flax.__version__}", steps, places, scan)


def equinox(steps: Sequence[Step], places: Mapping[str, Sequence[Mapping[str, str]]], arrays: Any) -> Runner | None:
    """Return cells of Equinox, stepped over time; None where it is not installed, or for other layers than cells."""
    if find_spec("equinox") is None or not _all_cells(steps):
        return None
    import equinox as eqx
    import jax
    from jax import numpy as jnp

    def scan(step: Part, hidden: int, leaves: Mapping[str, str], x: Array, initial: Any, back: bool) -> Any:
        cell = getattr(eqx.nn, f"{step.kind}Cell")(
            step.takes, hidden, use_bias="bias" in leaves, key=jax.random.PRNGKey(0)
        )
        for leaf, name in leaves.items():
            cell = eqx.tree_at(lambda c, leaf=leaf: getattr(c, leaf), cell, jnp.asarray(arrays[name]))
        lstm = step.kind == "LSTM"
        parts = initial or (jnp.zeros((len(x), hidden), x.dtype),) * (1 + lstm)
        state = tuple(map(jnp.asarray, parts)) if lstm else jnp.asarray(parts[0])
        ys = []
        order = range(x.shape[1])
        for t in reversed(order) if back else order:
            state = jax.vmap(cell)(x[:, t], state)
            ys.append(state[0] if lstm else state)
        return jnp.stack(ys[::-1] if back else ys, 1), state if lstm else (state,)

    return _row_of_cells(f"Equinox {eqx.__version__}", steps, places, scan)


def _all_cells(steps: Sequence[Step]) -> bool:
    return all(not isinstance(step, str) and step.kind in ("LSTM", "GRU") for step in steps)


def _row_of_cells(
    name: str, steps: Sequence[Step], places: Mapping[str, Sequence[Mapping[str, str]]], scan: Callable[..., Any]
) -> Runner:
    """Return layers of cells one above the other, of one direction or of two.

    ``scan(step, hidden, leaves, x, initial, back)`` runs one cell over time, from the end where ``back``, and returns
    its outputs in the order of x and its final state, (h, c) or (h,), as is ``initial`` unless it is None.
    """

    def run(x: Array, state: Any) -> tuple[Array, Any]:
        parts = state if state is None or isinstance(state, tuple) else (state,)
        finals: list[tuple[Any, ...]] = []
        for step in steps:
            assert not isinstance(step, str)
            ways, outputs = places[step.name], []
            for d, leaves in enumerate(ways):
                initial = None if parts is None else tuple(part[len(finals)] for part in parts)
                y, final = scan(step, step.gives // len(ways), leaves, x, initial, d == 1)
                outputs.append(y)
                finals.append(final)
            x = np.concatenate(outputs, -1)
        return x, _stacked(finals)

    return Runner(name, run, takes_state=_one_stack(steps, places))


def _one_stack(steps: Sequence[Step], places: Mapping[str, Sequence[Any]]) -> bool:
    """Return whether layers are read as one stack of ours, whose state is that of all of them."""
    return len({(s.kind, s.gives, len(places[s.name])) for s in steps if not isinstance(s, str)}) == 1


def _stacked(finals: Sequence[tuple[Any, ...]]) -> Any:
    """Return the final states of cells as that of one stack, or None where they are no stack."""
    if len({part.shape for final in finals for part in final}) > 1 or len({len(final) for final in finals}) > 1:
        return None
    parts = tuple(np.stack([np.asarray(part) for part in column]) for column in zip(*finals, strict=True))
    return parts if len(parts) > 1 else parts[0]


def _module(torch: Any, step: Any, weights: Mapping[str, Any], dtype: Any) -> Any:
    start = f"{step.name}." if step.name else ""
    mine = {name[len(start) :]: value.to(dtype) for name, value in weights.items() if name.startswith(start)}
    mine = {name: value for name, value in mine.items() if "." not in name}
    if step.kind == "Embedding":
        module = torch.nn.Embedding(*mine["weight"].shape)
    elif step.kind == "Linear":
        module = torch.nn.Linear(step.takes, step.gives, bias="bias" in mine)
    else:
        if "weight_hh" in mine:  # a cell is a layer of one step
            mine = {name + "_l0": value for name, value in mine.items()}
        hidden, projection = mine["weight_hh_l0"].shape[1], {}
        if "weight_hr_l0" in mine:
            hidden, projection = mine["weight_hr_l0"].shape[1], {"proj_size": hidden}
        module = getattr(torch.nn, step.kind)(
            step.takes, hidden, sum(name.startswith("weight_hh_l") and name[11:].isdigit() for name in mine),
            bias="bias_ih_l0" in mine, batch_first=True, bidirectional="weight_hh_l0_reverse" in mine,
            **projection,
        )  # fmt: skip
    module = module.to(dtype)
    module.load_state_dict(mine, strict=True)
    return module.eval()


def _weightless(torch: Any, word: str, value: Any) -> Any:
    if word == "last":
        return value[:, -1:]
    if word == "last_both_ends":
        half = value.shape[2] // 2
        return torch.cat((value[:, -1:, :half], value[:, :1, half:]), 2)
    return getattr(value, word)(*([-1] if word.endswith("softmax") else []))


def _tensors(torch: Any, state: Any, dtype: Any) -> Any:
    if state is None:
        return None
    if isinstance(state, tuple):
        return tuple(torch.from_numpy(np.array(part)).to(dtype) for part in state)
    return torch.from_numpy(np.array(state)).to(dtype)


def _arrays(state: Any) -> Any:
    return tuple(part.numpy() for part in state) if isinstance(state, tuple) else state.numpy()
