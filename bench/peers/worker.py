# Runs one peer behind the line protocol of bench/serve.h: worker.py PEER BENCH THREADS.
"""A peer is a file with_NAME.py that has `VERSION`, `use_threads(count)`, `ways(task)` (names of the ways to run it;
none raises NotThere with the reason) and `make(way, task)`, which gives a function of no arguments; that returns,
finished, a list of arrays: inference: outputs, states; training: loss, gradients of the weights (of one step also of
states and input, with dX also of the input)."""
import importlib
import sys
import time

import numpy
from safetensors.numpy import load_file, save_file

from cells import CELLS, NotThere, form_and_cell

WARM_CALLS = 3


class Task:
    """What is to be computed: a cell, forward or with gradients, on xs [T,B,I], states [B,...] and weights by name; or
    two of it (`form`), stacked or in both directions."""

    def __init__(self, bench, network, mode, file=None):
        self.form, self.cell = form_and_cell(network)
        self.is_step, self.has_gradients, self.wants_dx = bench == "cell", mode != "inference", mode == "training_with_dX"
        if self.form and self.is_step:
            raise NotThere("layers and directions are of a sequence only")
        if self.cell not in CELLS:
            raise NotThere(f"bench/peers/cells.py has no {self.cell}")
        self.inputs, self.step = CELLS[self.cell]
        if file is None:
            return
        tensors = load_file(file)
        self.xs = tensors.pop("xs")
        self.states = []
        while f"state{len(self.states)}" in tensors:
            self.states.append(tensors.pop(f"state{len(self.states)}"))
        self.weights = tensors

    def result_names(self):
        states = range(len(self.states))
        if not self.has_gradients:
            return ["outputs"] + [f"state{i}" for i in states]
        names = ["loss"] + [f"gradient_{name}" for name in self.weights]
        if self.is_step:
            names += [f"gradient_state{i}" for i in states]
        return names + (["gradient_xs"] if self.is_step or self.wants_dx else [])

    def parts(self, weights, states):
        """[(weights by the cell's own names, states)] of each layer or direction: names of the second one end in _1."""
        if not self.form:
            return [(weights, states)]
        half = len(states) // 2
        first = {name: weight for name, weight in weights.items() if not name.endswith("_1")}
        return [(first, states[:half]), ({name: weights[name + "_1"] for name in first}, states[half:])]


class Worker:
    def __init__(self, peer, bench):
        self.peer, self.bench, self.slots = peer, bench, {}

    def answer(self, command, *words):
        return getattr(self, "do_" + command)(*words)

    def do_version(self):
        return "ok " + self.peer.VERSION

    def do_ways(self, cell, mode):
        task = Task(self.bench, cell, mode)
        return " ".join(["ok", *self.peer.ways(task)])

    def do_setup(self, slot, way, cell, mode, file):
        task = Task(self.bench, cell, mode, file)
        start = time.perf_counter()
        call = self.peer.make(way, task)
        for _ in range(WARM_CALLS):
            call()
        self.slots[slot] = (call, task.result_names())
        return f"ok {(time.perf_counter() - start) * 1e3:.3f}"

    def do_results(self, slot, file):
        call, names = self.slots[slot]
        arrays = [numpy.ascontiguousarray(array, numpy.float32) for array in call()]
        save_file(dict(zip(names, arrays)), file)
        return "ok"

    def do_run(self, slot, count):
        call, _ = self.slots[slot]
        times = []
        for _ in range(int(count)):
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e6)
        return " ".join(["us"] + [f"{us:.3f}" for us in times])

    def do_drop(self, slot):
        self.slots.pop(slot, None)
        return "ok"


def main():
    name, bench, threads = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    try:
        peer = importlib.import_module("with_" + name)
        peer.use_threads(int(threads))
        worker = Worker(peer, bench)
    except Exception as error:
        print("error", type(error).__name__, str(error).replace("\n", " "), file=answers, flush=True)
        return
    print("ok", file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        try:
            text = worker.answer(*line.split())
        except NotThere as reason:
            text = f"error {reason}"
        except Exception as error:
            text = f"error {type(error).__name__} " + str(error).replace("\n", " ")[:300]
        print(text, file=answers, flush=True)


if __name__ == "__main__":
    main()
