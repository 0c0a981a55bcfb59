"""The other side of a comparison: models as PyTorch and Keras themselves run them, where those are installed.

Nothing else in the package imports a framework, and nothing does it before a comparison asks. A model that came from
others is made here, from the weights that its reader accepted; only a file that we wrote goes through the framework's
own loader, which is then put to the test as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chain import Step
from .formats import Runner

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
            given = None if state is None else iter(state if row else (state,))
            finals = []
            for module in modules:
                if isinstance(module, torch.nn.RNNBase):
                    initial = next(given) if given is not None else None
                    value, final = module(value, _tensors(torch, initial, dtype))
                    finals.append(_arrays(final))
                else:
                    value = _weightless(torch, module, value) if isinstance(module, str) else module(value)
            return value.numpy(), tuple(finals) if row else finals[0] if finals else None

    return Runner(f"PyTorch {torch.__version__}", run)


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
        hidden = mine["weight_hh_l0"].shape[1]
        module = getattr(torch.nn, step.kind)(
            step.takes, hidden, sum(name.startswith("weight_hh_l") and name[11:].isdigit() for name in mine),
            bias="bias_ih_l0" in mine, batch_first=True, bidirectional="weight_hh_l0_reverse" in mine,
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
    return value.softmax(-1) if word == "softmax" else getattr(torch, word)(value)


def _tensors(torch: Any, state: Any, dtype: Any) -> Any:
    if state is None:
        return None
    if isinstance(state, tuple):
        return tuple(torch.from_numpy(np.array(part)).to(dtype) for part in state)
    return torch.from_numpy(np.array(state)).to(dtype)


def _arrays(state: Any) -> Any:
    return tuple(part.numpy() for part in state) if isinstance(state, tuple) else state.numpy()
