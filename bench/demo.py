#!/usr/bin/env python3
# The demo's training step beside torch (eager, and the cell through torch.compile), in one interleaved run.
"""Times one training step of the demo's character language model: embedding, a layer-norm LSTM cell called T times,
linear layer, cross entropy, backward, clipping, Adam. Every contender starts from the same weights and sees the same
text; losses and gradients are compared before anything is timed. Rounds alternate between the contenders, so that a
slow phase of the machine hits all of them.

The table gives milliseconds per step: the median and the minimum over all timed steps, and how many times as long as
the compiled step of Calque a contender takes (ratio of medians)."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORTUNES = pathlib.Path("/usr/share/games/fortunes")
TOLERANCE = 1e-4  # relative, of the first losses and of gradients
CHECKED_STEPS = 3


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="rounds over all contenders (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of a contender in a round (default: %(default)s)")
    parser.add_argument("--most-seconds", type=float, help="starts no round after so long")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2, help="of every contender (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--without-torch-compile", action="store_true", help="spares its minute of compiling")
    parser.add_argument("--program", default=str(ROOT / "build/dev/bin/calque"), help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write every number there, too")
    return parser.parse_args()


def text_pieces(options, pieces):
    """Vocabulary size, and inputs and targets [pieces, length, batch] of contiguous streams."""
    import numpy as np
    files = sorted(f for f in FORTUNES.glob("*") if f.is_file() and not f.is_symlink() and f.suffix != ".dat")
    text = b"".join(f.read_bytes() for f in files) or bytes(range(32, 127)) * 20000
    used, tokens = np.unique(np.frombuffer(text, np.uint8), return_inverse=True)
    stream = (len(tokens) - 1) // options.batch
    if stream < pieces * options.length:
        sys.exit(f"demo.py: the text has {len(tokens)} characters, too few for these sizes")
    starts = np.arange(options.batch) * stream
    at = starts[None, None, :] + np.arange(pieces * options.length).reshape(pieces, options.length, 1)
    return len(used), tokens[at].astype(np.int64), tokens[at + 1].astype(np.int64)


def initial_weights(options, vocabulary):
    import numpy as np
    random, hidden, width = np.random.default_rng(1), options.hidden, 4 * options.hidden
    uniform = lambda bound, *shape: random.uniform(-bound, bound, shape).astype(np.float32)
    return {
        "embedding.weight": random.standard_normal((vocabulary, hidden)).astype(np.float32),
        "cell.wx": uniform(hidden**-0.5, hidden, width), "cell.wh": uniform(hidden**-0.5, hidden, width),
        "cell.b": np.zeros(width, np.float32), "cell.gamma": np.ones(width, np.float32),
        "cell.beta": np.zeros(width, np.float32),
        "output.weight": uniform((6 / (hidden + vocabulary))**0.5, hidden, vocabulary),
        "output.bias": np.zeros(vocabulary, np.float32),
    }


class Calque:
    """`calque bench-step` behind a pipe."""

    def __init__(self, options, mode, data_file, folder):
        self.name, self.folder = f"calque {mode}", folder
        command = [options.program, "bench-step", "--mode", mode, "--threads", str(options.threads), "--lr", str(options.lr)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask(f"load {data_file}")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"demo.py: {self.name} ended at `{line}`")
        return answer.split()

    def gradients(self):
        from safetensors.numpy import load_file
        path = os.path.join(self.folder, "gradients.safetensors")
        loss = float(self.ask(f"gradients {path}")[1])
        return loss, load_file(path)

    def steps(self, count):
        words = self.ask(f"steps {count}")
        split = words.index("loss")
        return [float(w) for w in words[1:split]], [float(w) for w in words[split + 1:]]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Torch:
    """The same model in torch, written the way its users write it."""

    def __init__(self, options, mode, weights, inputs, targets):
        import torch
        self.torch, self.name, self.options = torch, f"torch {mode}", options
        self.w = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in weights.items()}
        self.inputs, self.targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        self.optimizer = torch.optim.Adam(self.w.values(), lr=options.lr)
        self.cell = self.make_cell()
        if mode == "compile":
            self.cell = torch.compile(self.cell, dynamic=False)
        self.state, self.next = self.zero_state(), 0

    def make_cell(self):
        torch, norm = self.torch, self.torch.nn.functional.layer_norm

        def cell(x, h, c, wx, wh, b, gamma, beta):
            i, f, g, o = norm(x @ wx + h @ wh + b, b.shape, gamma, beta).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c
        return cell

    def zero_state(self):
        return [self.torch.zeros(self.options.batch, self.options.hidden) for _ in range(2)]

    def loss(self, piece, state):
        functional, w = self.torch.nn.functional, self.w
        (h, c), outputs = state, []
        parameters = [w["cell." + name] for name in ("wx", "wh", "b", "gamma", "beta")]
        for x in functional.embedding(self.inputs[piece], w["embedding.weight"]).unbind(0):
            h, c = self.cell(x, h, c, *parameters)
            outputs.append(h)
        logits = self.torch.cat(outputs) @ w["output.weight"] + w["output.bias"]
        return functional.cross_entropy(logits, self.targets[piece].reshape(-1)), [h.detach(), c.detach()]

    def gradients(self):
        loss, _ = self.loss(0, self.zero_state())
        loss.backward()
        result = {name: tensor.grad.numpy().copy() for name, tensor in self.w.items()}
        self.optimizer.zero_grad()
        return loss.item(), result

    def step(self):
        start = time.perf_counter()
        loss, self.state = self.loss(self.next % len(self.inputs), self.state)
        self.next += 1
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(list(self.w.values()), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        value = loss.item()
        return (time.perf_counter() - start) * 1e3, value

    def steps(self, count):
        times, losses = zip(*(self.step() for _ in range(count)))
        return list(times), list(losses)

    def close(self):
        pass


def relative(a, b):
    """Largest difference, relative to the largest element of b."""
    import numpy as np
    return float(np.abs(np.asarray(a, np.float64) - b).max() / max(float(np.abs(b).max()), 1e-30))


def check(contenders):
    """Compares gradients and the first losses of all contenders with those of the last; the worst differences."""
    start = time.perf_counter()
    results = []
    for contender in contenders:
        loss, gradients = contender.gradients()
        results.append((contender.name, loss, gradients, contender.steps(CHECKED_STEPS)[1]))
    _, loss, gradients, losses = results[-1]
    worst = 0.0
    for name, other_loss, other_gradients, other_losses in results[:-1]:
        differences = {"loss": abs(other_loss / loss - 1), "losses": relative(other_losses, losses)}
        differences |= {"gradient of " + key: relative(other_gradients[key], gradients[key]) for key in gradients}
        what = max(differences, key=differences.get)
        worst = max(worst, differences[what])
        if not differences[what] <= TOLERANCE:
            sys.exit(f"demo.py: {name} and {results[-1][0]} disagree: {what} by {differences[what]:.2g} (limit {TOLERANCE:g})")
    print(f"gradients and the first {CHECKED_STEPS} losses agree within {worst:.1e} (relative; limit {TOLERANCE:g}); "
          f"first calls took {time.perf_counter() - start:.0f} s\n")
    return worst


def measure(contenders, options):
    times = {contender.name: [] for contender in contenders}
    start = time.perf_counter()
    for number in range(options.rounds):
        if options.most_seconds and number > 0 and time.perf_counter() - start > options.most_seconds:
            break
        for contender in contenders[number % len(contenders):] + contenders[:number % len(contenders)]:
            time.sleep(0.02)  # the one before lets go of its cores
            contender.steps(1)  # caches are the contender's own again
            times[contender.name] += contender.steps(options.steps)[0]
        if sys.stderr.isatty():
            print(f"\rround {number + 1}/{options.rounds}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return times


def report(times, options):
    base = statistics.median(times["calque loop"])
    print(f"ms per step: B={options.batch} H={options.hidden} T={options.length}, {options.threads} threads, "
          f"{len(times['calque loop'])} steps in rounds of {options.steps}, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<18}{'median':>9}{'minimum':>9}{'times calque loop':>24}")
    for name, samples in times.items():
        median = statistics.median(samples)
        print(f"{name:<18}{median:>9.2f}{min(samples):>9.2f}{median / base:>23.2f}x")


def main():
    options = arguments()
    if not os.access(options.program, os.X_OK):
        sys.exit(f"demo.py: there is no program {options.program}; build it first (./dev build) or name it with --program")
    import torch
    from safetensors.numpy import save_file
    torch.set_num_threads(options.threads)
    pieces = min(200, CHECKED_STEPS + options.rounds * (options.steps + 1))
    vocabulary, inputs, targets = text_pieces(options, pieces)
    weights = initial_weights(options, vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        data_file = os.path.join(folder, "data.safetensors")
        save_file(weights | {"inputs": inputs, "targets": targets}, data_file)
        contenders = [Calque(options, mode, data_file, folder) for mode in ("step", "loop", "cell", "eager")]
        modes = ["eager"] if options.without_torch_compile else ["compile", "eager"]
        contenders += [Torch(options, mode, weights, inputs, targets) for mode in modes]
        worst = check(contenders)
        times = measure(contenders, options)
        for contender in contenders:
            contender.close()
    report(times, options)
    if options.json:
        record = {"options": vars(options), "torch": torch.__version__, "load": os.getloadavg(),
                  "largest_relative_difference": worst, "ms": times}
        pathlib.Path(options.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
