# torch: eager, TorchScript, torch.compile of the cell and of the whole loop, and the library's own layers.
import torch

from cells import NotThere

VERSION = torch.__version__
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def use_threads(count):
    torch.set_num_threads(count)


class Ops:
    matmul, sigmoid, tanh, relu = torch.matmul, torch.sigmoid, torch.tanh, torch.relu

    @staticmethod
    def split(x, parts):
        return x.chunk(parts, -1)

    @staticmethod
    def layer_norm(x, gamma, beta):
        return torch.nn.functional.layer_norm(x, (x.shape[-1],), gamma, beta, 1e-5)


def ways(task):
    if task.form:
        if task.cell not in GATES:
            raise NotThere(f"has no {task.form} {task.cell}")
        return ["library"]
    names = ["eager", "script_cell", "compile_cell"]
    if not task.is_step:
        names.append("compile_loop")
    if task.cell in GATES:
        names.append("library")
    return names


def cell_of(task, names):
    """A function x, states..., weights... -> output, states..., of tensors only, as tracing wants it."""
    states = len(task.states)

    def cell(x, *tensors):
        w = dict(zip(names, tensors[states:]))
        output, state = task.step(Ops, task.inputs(Ops, x, w), list(tensors[:states]), w)
        return (output, *state)
    return cell


def over_sequence(cell, xs, states, weights):
    outputs = []
    for x in xs.unbind(0):
        output, *states = cell(x, *states, *weights)
        outputs.append(output)
    return torch.stack(outputs), *states


def make(way, task):
    tensor = lambda array: torch.from_numpy(array.copy())
    names = list(task.weights)
    weights, states = [tensor(task.weights[name]) for name in names], [tensor(state) for state in task.states]
    xs = tensor(task.xs)
    if way == "library":
        return make_library(task, xs, states)
    leaves = weights + states + [xs] if task.is_step else weights + [xs] if task.wants_dx else weights
    if task.has_gradients:
        for leaf in leaves:
            leaf.requires_grad_()
    cell = cell_of(task, names)
    if way == "script_cell":
        cell = torch.jit.trace(cell, (xs[0].detach(), *[s.detach() for s in states], *[w.detach() for w in weights]))
    if way == "compile_cell":
        torch._dynamo.reset()
        cell = torch.compile(cell, dynamic=False)
    forward = (lambda xs, s, w: cell(xs[0], *s, *w)) if task.is_step else (lambda xs, s, w: over_sequence(cell, xs, s, w))
    if way == "compile_loop":
        torch._dynamo.reset()
        forward = torch.compile(forward, dynamic=False)
    return finished(task, lambda: forward(xs, states, weights), leaves)


def finished(task, forward, leaves, pick=lambda gradients: gradients):
    if not task.has_gradients:
        def infer():
            with torch.no_grad():
                return [result.numpy() for result in forward()]
        return infer

    def train():
        loss = forward()[0].sum()
        return [loss.detach().numpy(), *(g.numpy() for g in pick(torch.autograd.grad(loss, leaves)))]
    return train


def make_library(task, xs, states):
    """nn.LSTM, nn.GRU, nn.RNN (of one step: their cells), with weights [N,K] where ours are [K,N]."""
    hidden, inputs = task.weights["wh"].shape[0], task.weights["wx"].shape[0]
    kind = task.cell.upper()
    options = {"stacked": {"num_layers": 2}, "bidirectional": {"bidirectional": True}}.get(task.form, {})
    layer = getattr(torch.nn, kind + "Cell" if task.is_step else kind)(inputs, hidden, **options)
    suffixes = [""] if task.is_step else ["_l0", "_l1" if task.form == "stacked" else "_l0_reverse"]
    bias, leaves = "bx" if task.cell == "gru" else "b", {}
    for (weights, _), suffix, ours in zip(task.parts(task.weights, states), suffixes, ("", "_1")):
        wx, wh, bx, bh = (getattr(layer, name + suffix) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        with torch.no_grad():
            wx.copy_(torch.from_numpy(weights["wx"].T.copy()))
            wh.copy_(torch.from_numpy(weights["wh"].T.copy()))
            bx.copy_(torch.from_numpy(weights[bias]))
            bh.copy_(torch.from_numpy(weights["bh"])) if task.cell == "gru" else bh.zero_()
        leaves |= {"wx" + ours: wx, "wh" + ours: wh, bias + ours: bx, "bh" + ours: bh}
    others = [*states, xs] if task.is_step else [xs] if task.wants_dx else []
    if task.has_gradients:
        for leaf in others:
            leaf.requires_grad_()

    def pick(gradients):
        by_name = dict(zip(leaves, gradients))
        own = [by_name[name] for name in task.weights]
        return [g.T if g.dim() == 2 else g for g in own] + list(gradients[len(leaves):])

    parts = [own for _, own in task.parts(task.weights, states)]
    first = tuple(torch.stack(state) for state in zip(*parts))  # [parts,B,H] of each state

    def forward():
        if task.is_step:
            after = layer(xs[0], tuple(states) if task.cell == "lstm" else states[0])
            after = after if task.cell == "lstm" else (after,)
            return (after[0], *after)
        outputs, after = layer(xs, first if task.cell == "lstm" else first[0])
        after = after if task.cell == "lstm" else (after,)
        return (outputs, *(state[part] for part in range(len(parts)) for state in after))
    return finished(task, forward, [*leaves.values(), *others], pick)
