# Processes that speak the line protocol of bench/serve.h: the program of ours, and one worker for each peer.
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ("torch", "jax", "onnxruntime", "openvino")


class Failed(Exception):
    """What a process answered in place of what was asked."""


class Process:
    """One framework with so many threads, pinned to as many cores."""

    def __init__(self, name, threads, command, environment=None):
        self.name, self.threads, self.version = name, threads, ""
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | (environment or {}), preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def cores(self):
        """Those that any of its threads may run on, now: libraries may pin threads of their own."""
        found = set()
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                found |= os.sched_getaffinity(int(thread))
            except ProcessLookupError:  # has ended
                pass
        return found

    def ask(self, *words):
        """The words of the answer after `ok` or `us`."""
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed("ended") from None
        return self.read()

    def read(self):
        answer = self.process.stdout.readline().split()
        if not answer:
            raise Failed("ended")
        if answer[0] == "error":
            raise Failed(" ".join(answer[1:]))
        return answer[1:]

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_ours(bench, threads, folder):
    return Process("calque", threads, [str(folder / f"bench_{bench}"), "--serve"], {"CALQUE_NUM_THREADS": str(threads)})


def start_peer(name, bench, threads):
    """Throws Failed when its package is not there."""
    count = {key: str(threads) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    worker = Process(name, threads, [sys.executable, str(ROOT / "bench/peers/worker.py"), name, bench, str(threads)], count)
    try:
        worker.read()
        worker.version = " ".join(worker.ask("version"))
    except Failed:
        worker.close()
        raise
    return worker


class Contender:
    """One way of one process to run a workload, and the times that were taken of it."""

    def __init__(self, process, way):
        self.process, self.way, self.us, self.slot = process, way, [], f"{way}_{process.threads}"
        self.first_ms = self.difference = None

    @property
    def name(self):
        return f"{self.process.name} {self.way}"

    @property
    def is_ours(self):
        return self.process.name == "calque"

    def set_up(self, cell, mode, data, results):
        self.first_ms = float(self.process.ask("setup", self.slot, self.way, cell, mode, data)[0])
        self.process.ask("results", self.slot, results)

    def run(self, count):
        return [float(us) for us in self.process.ask("run", self.slot, count)]

    def drop(self):
        try:
            self.process.ask("drop", self.slot)
        except Failed:
            pass
