"""Every variant of the LSTM cell, one row and one step at a time, written down from the papers: the oracle for
test_variants.py. It knows gates by name and matrices by gate, and shares no code with the package.

Gates and peepholes: Gers and Schmidhuber 2000; Greff et al. 2015, section 2 and appendix A.3. Layer normalisation: Ba,
Kiros and Hinton 2016, equations 20 to 22 and 29 to 31. Zoneout: Krueger et al. 2017, equations 4 and 5. Activations:
the list in the ONNX operator's text. Projection: Sak, Senior and Beaufays 2014.
"""

import math

import numpy as np

ACTIVATIONS = {
    "Affine": lambda x, alpha=1.0, beta=0.0: alpha * x + beta,
    "Elu": lambda x, alpha=1.0: x if x >= 0 else alpha * (math.exp(x) - 1),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: min(max(alpha * x + beta, 0.0), 1.0),
    "Identity": lambda x: x,
    "LeakyRelu": lambda x, alpha=0.01: x if x >= 0 else alpha * x,
    "Relu": lambda x: max(x, 0.0),
    "ScaledTanh": lambda x, alpha=1.0, beta=1.0: alpha * math.tanh(beta * x),
    "Selu": lambda x, alpha=1.6732632423543772, gamma=1.0507009873554805: (
        gamma * (x if x > 0 else alpha * (math.exp(x) - 1))
    ),
    "Sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "Softplus": lambda x: math.log(1 + math.exp(x)),
    "Softsign": lambda x: x / (1 + abs(x)),
    "Swish": lambda x, alpha=1.0: x / (1 + math.exp(-alpha * x)),
    "Tanh": math.tanh,
    "ThresholdedRelu": lambda x, alpha=1.0: x if x >= alpha else 0.0,
}


def each(activation, z):
    name, *numbers = [activation] if isinstance(activation, str) else activation
    return np.array([ACTIVATIONS[name](value, *numbers) for value in z])


def standardised(vector):
    return (vector - np.mean(vector)) / math.sqrt(np.mean((vector - np.mean(vector)) ** 2) + 1e-5)


def bounded(vector, bound):
    return vector if bound is None else np.array([max(-bound, min(bound, value)) for value in vector])


class Oracle:
    """One direction of one layer, from named parameters (without their suffix) and the layer's arguments."""

    def __init__(self, hidden, parameters, **switches):
        self.p, self.on = parameters, switches.get
        gates = [k for k, on in zip("ifo", self.there(), strict=True) if on]
        blocks = [k for k in "ifgo" if k == "g" or k in gates]
        rows = {k: slice(at * hidden, (at + 1) * hidden) for at, k in enumerate(blocks)}
        among = {k: slice(at * hidden, (at + 1) * hidden) for at, k in enumerate(gates)}
        self.gates, self.blocks, self.rows, self.among, self.hidden = gates, blocks, rows, among, hidden

    def there(self):
        coupled = self.on("coupled", False)
        return (self.on("input_gate", True), self.on("forget_gate", True) and not coupled, self.on("output_gate", True))

    def step(self, x, h_, c_, gates_, mask=1.0, weight_mask=1.0, zone=None):
        """Return h, c, and the four quantities i, f, g, o, from the input and what was before (h_, c_, gates_)."""
        p, on, H = self.p, self.on, self.hidden
        from_x, from_h = p["w_x"] @ x, (p["w_h"] * weight_mask) @ (h_ * mask)
        if on("layer_norm"):
            from_x, from_h = p["gain_x"] * standardised(from_x), p["gain_h"] * standardised(from_h)
        value = {k: np.ones(H) for k in "ifo"}
        net = {k: from_x[self.rows[k]] + from_h[self.rows[k]] + p["b"][self.rows[k]] for k in self.blocks}
        if on("full_gate_recurrence"):
            for k in self.gates:
                for j in self.gates:
                    net[k] = net[k] + p["w_r"][self.among[k], self.among[j]] @ gates_[j]

        def gate(k, cell):
            if on("peepholes"):
                net[k] = net[k] + p["p"][self.among[k]] * cell
            return each(on("gate_activation", "Sigmoid"), bounded(net[k], on("clip")))

        for k in "if":
            if k in self.gates:
                value[k] = gate(k, c_)
        if on("coupled"):
            value["f"] = 1 - value["i"]
        value["g"] = each(on("input_activation", "Tanh"), bounded(net["g"], on("clip")))
        c = bounded(value["g"] * value["i"] + c_ * value["f"], on("cell_clip"))
        if "o" in self.gates:
            value["o"] = gate("o", c)
        shown = c if on("layer_norm") != "cell" else p["gain_c"] * standardised(c) + p["b_c"]
        h = each(on("output_activation", "Tanh"), shown) * value["o"]
        if on("projection_size"):
            h = p["w_hr"] @ h
        chance = on("zoneout", 0.0)
        d_c, d_h = zone if zone else (chance if isinstance(chance, (list, tuple)) else (chance, chance))
        return d_h * h_ + (1 - d_h) * h, d_c * c_ + (1 - d_c) * c, value


def run(layer, x, state, lengths, switches, masks=None):
    """Return outputs, the final state's parts and every step's quantities of a whole layer: stacked, both directions.

    ``masks(k, d)`` gives the tape's masks of one place; rows must then be of one length.
    """
    final = {part: value.copy() for part, value in zip(layer.parts, state, strict=True)}
    seen = {}
    for k in range(layer.num_layers):
        outputs = []
        for d in range(layer.directions):
            end = f"_l{k}" + ("_reverse" if d else "")
            own = {name.removesuffix(end): layer.parameters[name] for name in layer.names(k, reverse=d == 1)}
            cell, at = Oracle(layer.hidden_size, own, **switches), k * layer.directions + d
            y = np.zeros((*x.shape[:2], layer.output_size))
            quantities = {q: np.zeros((*x.shape[:2], layer.hidden_size)) for q in "ifgoc"}
            m = None if masks is None else masks(k, d)
            for n, length in enumerate(lengths):
                now = {part: final[part][at, n] for part in layer.parts}
                for count, t in enumerate(reversed(range(length)) if d else range(length)):
                    drawn = {}
                    if m is not None:
                        row = count * len(lengths) + n
                        drawn["mask"] = 1.0 if m.h is None else m.h[n]
                        drawn["weight_mask"] = 1.0 if m.w_h is None else m.w_h
                        if m.zone_c is not None:
                            drawn["zone"] = m.zone_c[row], m.zone_h[row]
                    h, c, value = cell.step(x[n, t], now["h"], now["c"], now, **drawn)
                    now = {"h": h, "c": c} | {gate: value[gate] for gate in layer.parts[2:]}
                    y[n, t] = h
                    for q in "ifgo":
                        quantities[q][n, t] = value[q]
                    quantities["c"][n, t] = c
                for part in layer.parts:
                    final[part][at, n] = now[part]
            seen[k, d] = quantities | {"h": y}
            outputs.append(y)
        x = np.concatenate(outputs, axis=2)
    return x, tuple(final[part] for part in layer.parts), seen
