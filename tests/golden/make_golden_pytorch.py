"""Write pytorch.npz: outputs, states and gradients of PyTorch's LSTM and GRU in float64, with random weights.

Run with an interpreter that has torch and numpy: ``python make_golden_pytorch.py``. The tests only read the file.
Keys are ``<case>/<what>``; parameters and their gradients keep PyTorch's own names and layouts.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CASES = {
    # name: (class, N, T, F, H, layers, bidirectional, lengths)
    "lstm": (torch.nn.LSTM, 3, 7, 4, 5, 1, False, None),
    "lstm_stacked_both_ways": (torch.nn.LSTM, 4, 6, 3, 4, 2, True, [4, 1, 6, 3]),
    "gru": (torch.nn.GRU, 3, 7, 4, 5, 1, False, None),
    "gru_stacked_both_ways": (torch.nn.GRU, 4, 6, 3, 4, 2, True, [2, 6, 1, 5]),
}


def run(cls, n, t, f, h, layers, both, lengths):
    net = cls(f, h, layers, bidirectional=both, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64) * 0.6)
    parts = 2 if cls is torch.nn.LSTM else 1
    x = torch.randn(n, t, f, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(layers * (1 + both), n, h, dtype=torch.float64, requires_grad=True) for _ in range(parts)]
    given = tuple(state) if parts == 2 else state[0]
    if lengths is None:
        y, final = net(x, given)
    else:
        packed, final = net(pack_padded_sequence(x, torch.tensor(lengths), True, enforce_sorted=False), given)
        y, _ = pad_packed_sequence(packed, batch_first=True, total_length=t)
    final = final if parts == 2 else (final,)
    weights = [torch.randn(a.shape, dtype=torch.float64) for a in (y, *final)]
    sum((a * w).sum() for a, w in zip((y, *final), weights, strict=True)).backward()

    out = {"x": x, "y": y, "dy": weights[0], "dx": x.grad}
    for k, part in enumerate("hc"[:parts]):
        out |= {f"{part}0": state[k], f"{part}_n": final[k], f"d{part}_n": weights[1 + k], f"d{part}0": state[k].grad}
    for name, parameter in net.named_parameters():
        out |= {name: parameter, "d" + name: parameter.grad}
    if lengths is not None:
        out["lengths"] = torch.tensor(lengths)
    return {key: value.detach().numpy() for key, value in out.items()}


if __name__ == "__main__":
    torch.manual_seed(20261)
    arrays = {"made_with": np.array(f"torch {torch.__version__}")}
    for name, case in CASES.items():
        arrays |= {f"{name}/{key}": value for key, value in run(*case).items()}
    np.savez_compressed(Path(__file__).with_name("pytorch.npz"), **arrays)
