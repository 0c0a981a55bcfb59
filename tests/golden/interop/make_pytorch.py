"""Write PyTorch's own files (state_dicts as .pt and safetensors), and pytorch.npz: inputs, states and outputs of each.

python tests/golden/interop/make_pytorch.py
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent


class Text(nn.Module):
    """Its layers are made in another order than they run in."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 7)
        self.embedding = nn.Embedding(7, 4)
        self.lstm = nn.LSTM(4, 6, batch_first=True)

    def forward(self, ids, state=None):
        y, state = self.lstm(self.embedding(ids), state)
        return self.fc(y), state


CASES = {
    "pytorch_lstm": nn.LSTM(3, 5, 2, bidirectional=True, batch_first=True),
    "pytorch_gru": nn.GRU(3, 4, 2, batch_first=True),
    "pytorch_no_bias": nn.LSTM(3, 4, bias=False, batch_first=True),
    "pytorch_projection": nn.LSTM(3, 5, 2, proj_size=2, bidirectional=True, batch_first=True),
    "pytorch_text": Text(),
}

if __name__ == "__main__":
    torch.manual_seed(20264)
    arrays = {"made_with": np.array(f"torch {torch.__version__}")}
    for name, module in CASES.items():
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
        torch.save(module.state_dict(), HERE / f"{name}.pt")
        text = name == "pytorch_text"
        x = torch.randint(0, 7, (3, 6)) if text else torch.randn(3, 6, 3)
        with torch.no_grad():
            _, state = module(x)
            state = tuple(torch.randn_like(s) for s in state) if isinstance(state, tuple) else torch.randn_like(state)
            y, final = module(x, state)
        arrays |= {f"{name}/x": x.numpy(), f"{name}/y": y.numpy()}
        for end, parts in (("0", state), ("_n", final)):
            parts = parts if isinstance(parts, tuple) else (parts,)
            arrays |= {f"{name}/{part}{end}": value.numpy() for part, value in zip("hc", parts, strict=False)}
    save_file(CASES["pytorch_lstm"].state_dict(), HERE / "pytorch_lstm.safetensors")
    torch.save(CASES["pytorch_gru"], HERE / "pytorch_whole_module.pt")
    checkpoint = {"epoch": 3, "model_state_dict": CASES["pytorch_no_bias"].state_dict(), "loss": 0.5}
    torch.save(checkpoint, HERE / "pytorch_checkpoint.pt")
    np.savez_compressed(HERE / "pytorch.npz", **arrays)
