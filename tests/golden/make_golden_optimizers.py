"""Write optimizers.npz: where PyTorch's SGD, Adam and AdamW stand after each of 20 updates, in float64.

Run with an interpreter that has torch and numpy: ``python make_golden_optimizers.py``. The tests only read the file.
Keys are ``<case>/parameters``, (21, M), the first row the start; ``start``, ``gradients`` (20, M) and ``rates`` (20,)
are shared, and so is ``clipped`` (20, M) with ``norms`` (20,), from ``torch.nn.utils.clip_grad_norm_`` at 2.
"""

from pathlib import Path

import numpy as np
import torch

#: name: (class, its arguments, of which the learning rate is set anew before each update)
CASES = {
    "sgd": (torch.optim.SGD, {}),
    "sgd_momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd_decay": (torch.optim.SGD, {"weight_decay": 0.1}),
    "sgd_momentum_decay": (torch.optim.SGD, {"momentum": 0.7, "weight_decay": 0.05}),
    "adam": (torch.optim.Adam, {}),
    "adam_other": (torch.optim.Adam, {"betas": (0.5, 0.9), "eps": 1e-3}),
    "adam_decay": (torch.optim.Adam, {"weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.01}),
    "adamw_other": (torch.optim.AdamW, {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.3}),
}
UPDATES, SIZE = 20, 11


def run(cls, arguments, start, gradients, rates):
    theta = torch.tensor(start, requires_grad=True)
    optimizer = cls([theta], lr=1.0, **arguments)
    seen = [start]
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]["lr"] = float(rate)
        theta.grad = torch.tensor(gradient)
        optimizer.step()
        seen.append(theta.detach().numpy().copy())
    return np.array(seen)


def clip(gradients, limit):
    norms, clipped = [], []
    for gradient in gradients:
        theta = torch.zeros(SIZE, dtype=torch.float64, requires_grad=True)
        theta.grad = torch.tensor(gradient)
        norms.append(float(torch.nn.utils.clip_grad_norm_([theta], limit)))
        clipped.append(theta.grad.numpy().copy())
    return np.array(norms), np.array(clipped)


if __name__ == "__main__":
    rng = np.random.default_rng(20262)
    start, rates = rng.normal(size=SIZE), 10 ** rng.uniform(-3, -0.5, UPDATES)
    # some gradients are long and some short, so that a clip at 2 acts on a part of them only
    gradients = rng.normal(size=(UPDATES, SIZE)) * 10 ** rng.uniform(-1.5, 1, (UPDATES, 1))
    norms, clipped = clip(gradients, 2.0)
    arrays = {"made_with": np.array(f"torch {torch.__version__}"), "start": start, "rates": rates,
              "gradients": gradients, "norms": norms, "clipped": clipped}  # fmt: skip
    for name, (cls, arguments) in CASES.items():
        arrays[f"{name}/parameters"] = run(cls, arguments, start, gradients, rates)
    np.savez_compressed(Path(__file__).with_name("optimizers.npz"), **arrays)
