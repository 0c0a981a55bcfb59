"""Write parameters of Flax and Equinox as npz, and jax.npz: inputs, states and outputs of each.

python tests/golden/interop/make_jax.py
"""

from pathlib import Path

import equinox as eqx
import flax
import jax
import numpy as np
from flax import linen, traverse_util
from jax import numpy as jnp

HERE = Path(__file__).parent
N, T, F, H = 3, 6, 3, 4


def randomized(tree, rng):
    return jax.tree.map(lambda a: jnp.asarray(0.6 * rng.standard_normal(a.shape), jnp.float32), tree)


def from_flax(rng, cell, both):
    rnn = linen.RNN(cell(H), return_carry=True)
    if both:
        rnn = linen.Bidirectional(linen.RNN(cell(H)), linen.RNN(cell(H)))
    x = jnp.asarray(rng.standard_normal((N, T, F)), jnp.float32)
    params = randomized(rnn.init(jax.random.PRNGKey(0), x)["params"], rng)
    out = {"x": x}
    if both:
        out["y"] = rnn.apply({"params": params}, x)
    else:
        carry = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape), a.dtype),
                             cell(H).initialize_carry(jax.random.PRNGKey(0), (N, F)))  # fmt: skip
        final, out["y"] = rnn.apply({"params": params}, x, initial_carry=carry)
        names = "ch" if isinstance(carry, tuple) else "h"  # Flax's carry is (c, h)
        for end, parts in (("0", carry), ("_n", final)):
            parts = parts if isinstance(parts, tuple) else (parts,)
            out |= {name + end: value[None] for name, value in zip(names, parts, strict=True)}
    return traverse_util.flatten_dict(params, sep="/"), out


def from_equinox(rng, kind):
    cell = randomized(kind(F, H, key=jax.random.PRNGKey(0)), rng)
    x = jnp.asarray(rng.standard_normal((N, T, F)), jnp.float32)
    lstm = kind is eqx.nn.LSTMCell
    start = [jnp.asarray(rng.standard_normal((N, H)), jnp.float32) for _ in ("hc" if lstm else "h")]
    state = tuple(start) if lstm else start[0]
    ys = []
    for t in range(T):
        state = jax.vmap(cell)(x[:, t], state)
        ys.append(state[0] if lstm else state)
    final = state if lstm else (state,)
    out = {"x": x, "y": jnp.stack(ys, 1)}
    for end, parts in (("0", start), ("_n", final)):
        out |= {name + end: value[None] for name, value in zip("hc", parts, strict=False)}
    leaves = ("weight_ih", "weight_hh", "bias", "bias_n")
    return {leaf: getattr(cell, leaf) for leaf in leaves if hasattr(cell, leaf)}, out


if __name__ == "__main__":
    rng = np.random.default_rng(20266)
    arrays = {"made_with": np.array(f"flax {flax.__version__}, equinox {eqx.__version__}, jax {jax.__version__}")}
    cases = {
        "flax_lstm": from_flax(rng, linen.LSTMCell, False),
        "flax_gru": from_flax(rng, linen.GRUCell, False),
        "flax_both": from_flax(rng, linen.OptimizedLSTMCell, True),
        "equinox_lstm": from_equinox(rng, eqx.nn.LSTMCell),
        "equinox_gru": from_equinox(rng, eqx.nn.GRUCell),
    }
    for name, (params, out) in cases.items():
        np.savez_compressed(HERE / f"{name}.npz", **{key: np.asarray(value) for key, value in params.items()})
        arrays |= {f"{name}/{key}": np.asarray(value) for key, value in out.items()}
    np.savez_compressed(HERE / "jax.npz", **arrays)
