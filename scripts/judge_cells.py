#!/usr/bin/env python3
# Compares standard cells over sequences, forward and their gradients, with torch and ONNX Runtime.
"""Runs a test program that writes sequences, weights, results and gradients of compiled loops, and judges them by torch's modules
(LSTM, stacked and both ways; GRU; RNN) and by ONNX Runtime's ops, which have the GRU whose reset gate comes before the product, too.
Exit code 77 (a skipped test) where torch is missing; without ONNX Runtime what it alone would judge is said to be not judged.
Nothing is downloaded: see judge_ops.py.

Usage: judge_cells.py PROGRAM"""
import os
import subprocess
import sys
import tempfile

from numpy_or_skip import SKIPPED, VENV, np
try:
    import torch
except ImportError:
    if VENV.exists() and not os.environ.get("JUDGE_AGAIN"):
        os.environ["JUDGE_AGAIN"] = "1"
        os.execv(str(VENV), [str(VENV), *sys.argv])
    print("SKIP: there is no torch (pip install numpy torch onnx onnxruntime into .venv-bench)")
    sys.exit(SKIPPED)
try:
    import onnx
    import onnxruntime
except ImportError:
    onnxruntime = None

FORWARD_BOUND, GRADIENT_BOUND = 3e-6, 3e-5  # of the largest element; f32, up to 40 steps


class Case:
    """What the test program wrote of one model, length and batch."""

    def __init__(self, folder, name, model):
        self.model = model
        read = lambda what: [np.load(f"{folder}/{name}.{what}.{i}.npy") for i in range(100)
                             if os.path.exists(f"{folder}/{name}.{what}.{i}.npy")]
        self.weights, self.state, (self.xs,) = read("weight"), read("state"), read("xs")
        self.results, self.gradients, self.seeds = read("result"), read("gradient"), read("seed")
        self.hidden = self.state[0].shape[-1]

    def directions(self):
        """Weights of each layer or direction."""
        count = 2 if " " in self.model else 1
        size = len(self.weights) // count
        return [self.weights[i * size:(i + 1) * size] for i in range(count)]


# --- torch ---

def torch_module(case):
    kind = {"gru": torch.nn.GRU, "rnn": torch.nn.RNN}.get(case.model, torch.nn.LSTM)
    return kind(case.xs.shape[-1], case.hidden, num_layers=2 if case.model == "stacked lstm" else 1,
                bidirectional=case.model == "bidirectional lstm")


def torch_results(case):
    """Results and gradients in the order of the test program's."""
    module, leaves, parameters = torch_module(case), [], {}
    suffixes = ["l0", "l1" if case.model == "stacked lstm" else "l0_reverse"]
    for weights, suffix in zip(case.directions(), suffixes):
        tensors = [torch.tensor(w, requires_grad=True) for w in weights]
        leaves += tensors
        wx, wh, b = tensors[:3]
        second = tensors[3] if case.model == "gru" else torch.zeros_like(b)
        parameters |= {f"weight_ih_{suffix}": wx.T, f"weight_hh_{suffix}": wh.T, f"bias_ih_{suffix}": b, f"bias_hh_{suffix}": second}
    state = [torch.tensor(s, requires_grad=True) for s in case.state]
    xs = torch.tensor(case.xs, requires_grad=True)
    is_lstm = "lstm" in case.model
    first = (torch.stack(state[0::2]), torch.stack(state[1::2])) if is_lstm else torch.stack(state)
    outputs, last = torch.func.functional_call(module, parameters, (xs, first))
    results = [outputs]
    for i in range(len(case.directions())):
        results += [last[0][i], last[1][i]] if is_lstm else [last[i]]
    loss = sum((result * torch.tensor(seed)).sum() for result, seed in zip(results, case.seeds))
    gradients = torch.autograd.grad(loss, [*leaves, *state, xs])
    return [r.detach().numpy() for r in results], [g.numpy() for g in gradients]


# --- ONNX Runtime ---

def reordered(matrix, order, hidden):
    """Blocks of the last axis in another order, transposed if a matrix."""
    blocks = [matrix[..., i * hidden:(i + 1) * hidden] for i in order]
    return np.ascontiguousarray(np.concatenate(blocks, -1).T)


def onnx_weights(case, weights):
    """W, R and B of one direction."""
    if "lstm" in case.model:  # input, forget, candidate, output -> input, output, forget, candidate
        order, (wx, wh, b), second = [0, 3, 1, 2], weights, None
    elif case.model == "rnn":
        order, (wx, wh, b), second = [0], weights, None
    elif case.model == "gru":  # reset, update -> update, reset
        order, (wx, wh, b, second) = [1, 0, 2], weights
    else:
        order, (wx, gates, candidate, b), second = [1, 0, 2], weights, None
        wh = np.concatenate([gates, candidate], -1)
    second = np.zeros_like(b) if second is None else second
    w, r, b, second = (reordered(m, order, case.hidden) for m in (wx, wh, b, second))
    return w, r, np.concatenate([b, second])


def onnx_results(case):
    kind = "LSTM" if "lstm" in case.model else "RNN" if case.model == "rnn" else "GRU"
    inputs = {name: np.stack(parts) for name, parts in
              zip("WRB", zip(*[onnx_weights(case, weights) for weights in case.directions()]))}
    inputs["X"] = case.xs
    inputs["initial_h"] = np.stack(case.state[0::2] if kind == "LSTM" else case.state)
    names = ["X", "W", "R", "B", "", "initial_h"]
    outputs = ["Y", "Y_h"]
    if kind == "LSTM":
        inputs["initial_c"] = np.stack(case.state[1::2])
        names, outputs = [*names, "initial_c"], [*outputs, "Y_c"]
    attributes = {"hidden_size": case.hidden, "direction": "bidirectional" if len(case.directions()) == 2 else "forward"}
    if kind == "GRU":
        attributes["linear_before_reset"] = int(case.model == "gru")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph([helper.make_node(kind, names, outputs, **attributes)], "cell",
                              [helper.make_tensor_value_info(name, floats, value.shape) for name, value in inputs.items()],
                              [helper.make_tensor_value_info(name, floats, None) for name in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    y, *last = session.run(None, inputs)
    results = [np.concatenate(list(np.moveaxis(y, 1, 0)), -1)]
    for i in range(len(case.directions())):
        results += [part[i] for part in last]
    return results


# --- the judge ---

def distance(found, expected):
    """Largest difference relative to the largest element; infinite where shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max(initial=0) / np.abs(expected).max(initial=1e-6))


def judge(found, expected, bound, what, faults, worst):
    if len(found) != len(expected):
        faults.append(f"{what}: {len(found)} tensors instead of {len(expected)}")
    for i, (ours, theirs) in enumerate(zip(found, expected)):
        error = distance(ours, theirs)
        worst[0] = max(worst[0], error)
        if not error <= bound:
            faults.append(f"{what} {i}: differs by {error:.1e} of the largest element")


def main():
    faults, worst_forward, worst_gradient, by_torch, by_onnx = [], [0.0], [0.0], 0, 0
    with tempfile.TemporaryDirectory(prefix="calque-judge-") as folder:
        subprocess.run([sys.argv[1], "[.judge_cells]"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "CALQUE_JUDGE_FOLDER": folder})
        for line in open(folder + "/cases.txt", encoding="utf-8"):
            name, steps, batch, model = line.strip().split(" ", 3)
            case = Case(folder, name, model)
            what = f"{model}, {steps} steps, batch {batch}: "
            if model != "gru_reset_before":
                results, gradients = torch_results(case)
                judge(case.results, results, FORWARD_BOUND, what + "torch's result", faults, worst_forward)
                judge(case.gradients, gradients, GRADIENT_BOUND, what + "torch's gradient", faults, worst_gradient)
                by_torch += 1
            if onnxruntime and model != "stacked lstm":
                judge(case.results, onnx_results(case), FORWARD_BOUND, what + "ONNX Runtime's result", faults, worst_forward)
                by_onnx += 1
    for fault in faults[:40]:
        print("FAULT:", fault)
    print(f"{by_torch} loops judged by torch {torch.__version__}, with gradients; "
          + (f"{by_onnx} by ONNX Runtime {onnxruntime.__version__}" if onnxruntime
             else "ONNX Runtime is missing, so not judged: the GRU whose reset gate comes first"))
    print(f"largest error: forward {worst_forward[0]:.1e}, gradients {worst_gradient[0]:.1e}, of the largest element")
    return 1 if faults or by_torch < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
