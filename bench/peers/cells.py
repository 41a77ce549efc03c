# The gallery's cells once more, for the peers: written over the few operations that a framework's file gives.
"""A cell is two functions. `inputs(ops, x, w)` is what depends on the step's input alone (a peer may hoist it out of the
loop: x is then the whole sequence); `step(ops, pre, s, w)` takes that, the state (a list) and the weights (by name)
to an output and the next state. Names are those of examples/cells; a cell that is missing here has no peers."""


class NotThere(Exception):
    """A peer cannot do what is asked, for the reason given."""


def form_and_cell(network):
    """"stacked_lstm" -> "stacked", "lstm"; the form of a cell alone is empty."""
    for form in ("stacked", "bidirectional"):
        if network.startswith(form + "_"):
            return form, network.removeprefix(form + "_")
    return "", network


def product(name, bias=None):
    """x times the weight of that name, plus a bias."""
    if bias is None:
        return lambda ops, x, w: ops.matmul(x, w[name])
    return lambda ops, x, w: ops.matmul(x, w[name]) + w[bias]


def lstm_gates(ops, gates, c):
    i, f, g, o = ops.split(gates, 4)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, [h, c]


def lstm(ops, pre, s, w):
    return lstm_gates(ops, pre + ops.matmul(s[0], w["wh"]) + w["b"], s[1])


def layernorm_lstm(ops, pre, s, w):
    gates = ops.layer_norm(pre + ops.matmul(s[0], w["wh"]) + w["b"], w["gamma"], w["beta"])
    return lstm_gates(ops, gates, s[1])


def coupled_gate_lstm(ops, pre, s, w):
    f, g, o = ops.split(pre + ops.matmul(s[0], w["wh"]) + w["b"], 3)
    f = ops.sigmoid(f)
    c = f * s[1] + (1.0 - f) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, [h, c]


def peephole_lstm(ops, pre, s, w):
    i, f, g, o = ops.split(pre + ops.matmul(s[0], w["wh"]) + w["b"], 4)
    c = ops.sigmoid(f + w["pf"] * s[1]) * s[1] + ops.sigmoid(i + w["pi"] * s[1]) * ops.tanh(g)
    h = ops.sigmoid(o + w["po"] * c) * ops.tanh(c)
    return h, [h, c]


def projected_lstm(ops, pre, s, w):
    h, (_, c) = lstm_gates(ops, pre + ops.matmul(s[0], w["wh"]) + w["b"], s[1])
    h = ops.matmul(h, w["wp"])
    return h, [h, c]


def gru(ops, pre, s, w):
    xr, xz, xn = ops.split(pre, 3)
    hr, hz, hn = ops.split(ops.matmul(s[0], w["wh"]) + w["bh"], 3)
    z = ops.sigmoid(xz + hz)
    n = ops.tanh(xn + ops.sigmoid(xr + hr) * hn)
    h = n + z * (s[0] - n)
    return h, [h]


def gru_reset_before(ops, pre, s, w):
    xr, xz, xn = ops.split(pre, 3)
    hr, hz = ops.split(ops.matmul(s[0], w["wh"]), 2)
    z = ops.sigmoid(xz + hz)
    n = ops.tanh(xn + ops.matmul(ops.sigmoid(xr + hr) * s[0], w["wn"]))
    h = n + z * (s[0] - n)
    return h, [h]


def rnn(ops, pre, s, w):
    h = ops.tanh(pre + ops.matmul(s[0], w["wh"]) + w["b"])
    return h, [h]


def minimal_gated_unit(ops, pre, s, w):
    xf, xn = ops.split(pre, 2)
    f = ops.sigmoid(xf + ops.matmul(s[0], w["wf"]))
    n = ops.tanh(xn + ops.matmul(f * s[0], w["wn"]))
    h = s[0] + f * (n - s[0])
    return h, [h]


def sru(ops, pre, s, w):
    n, xf, xr, skip = ops.split(pre, 4)
    f = ops.sigmoid(xf + w["vf"] * s[0])
    r = ops.sigmoid(xr + w["vr"] * s[0])
    c = n + f * (s[0] - n)
    return skip + r * (c - skip), [c]


def indrnn(ops, pre, s, w):
    h = ops.relu(pre + w["u"] * s[0] + w["b"])
    return h, [h]


CELLS = {
    "lstm": (product("wx"), lstm),
    "layernorm_lstm": (product("wx"), layernorm_lstm),
    "coupled_gate_lstm": (product("wx"), coupled_gate_lstm),
    "peephole_lstm": (product("wx"), peephole_lstm),
    "projected_lstm": (product("wx"), projected_lstm),
    "gru": (product("wx", "bx"), gru),
    "gru_reset_before": (product("wx", "b"), gru_reset_before),
    "rnn": (product("wx"), rnn),
    "minimal_gated_unit": (product("wx", "b"), minimal_gated_unit),
    "sru": (product("wx", "b"), sru),
    "indrnn": (product("wx"), indrnn),
}
