#!/usr/bin/env python3
# A recurrent cell beside torch, jax, ONNX Runtime and OpenVINO, in one interleaved run: `rnn` over a sequence, `cell` for one step.
"""Every contender is a way of a process of its own with 1 or 2 threads, pinned to as many cores. All get the same weights
and inputs from one file; results are compared before anything is timed; then the contenders take turns, so that a slow
phase of the machine hits all of them. Each row of the table is a workload with so many threads: `ours` is the fastest of
our ways, `best peer` the fastest peer with as many threads or fewer, ratio = best peer / ours (medians).
training is the loss (sum of outputs) and the gradients of all weights; of one step, also those of state and input;
training_with_dX (or --input-gradients) also those of a sequence's inputs.

A cell of your own: add a file to examples/cells and name it with --cell; stacked_CELL is two layers of it and
bidirectional_CELL both directions. Peers know the cells in bench/peers/cells.py."""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

from contenders import PEERS, ROOT, Contender, Failed, start_ours, start_peer
from host import host, limit_us, roofline
from plot import svg

SIZES = ["1,64,64", "1,512,512", "16,256,256", "64,512,512"]
SWEEPS = {"T": [10, 30, 100, 300, 1000, 3000, 10000], "B": [1, 4, 16, 64], "H": [64, 128, 256, 512]}
TOLERANCE = 2e-4  # relative to the largest element of a tensor
TURN_US = 150e3  # about how long a contender's turn takes
HOPELESS = 6  # times the best: gets fewer turns
GOALS = {("lstm", "1,64,64"): (1.8, 3.5), ("lstm", "1,512,512"): (1.4, 2.2), ("lstm", "16,256,256"): (1.15, 1.35),
         ("lstm", "64,512,512"): (1.08, 1.35), ("layernorm_lstm", "16,256,256"): (1.6, 3.2),
         ("coupled_gate_lstm", "16,256,256"): (1.4, 2.6)}  # of `rnn` at T = 100 and 2 threads: inference, training


MODES = ["inference", "training", "training_with_dX"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", choices=["rnn", "cell"])
    parser.add_argument("--cell", nargs="+", default=["lstm"], help="names in examples/cells (default: lstm)")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="B,I,H", help=f"default: {' '.join(SIZES)}")
    parser.add_argument("--steps", type=int, default=100, metavar="T", help="of a sequence (default: %(default)s)")
    parser.add_argument("--mode", nargs="+", default=MODES[:2], choices=MODES)
    parser.add_argument("--input-gradients", action="store_true", help="training_with_dX in place of training")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--sweep", choices=SWEEPS, help="vary one of T, B, H (and I = H) from the first size, and plot")
    parser.add_argument("--plots", default="build/plots", metavar="FOLDER", help="where plots go (default: %(default)s)")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS, metavar="NAME", help=" ".join(PEERS))
    parser.add_argument("--longest-for-peers", type=int, default=1000, metavar="T", help="longer sequences are ours alone "
                        "(default: %(default)s)")
    parser.add_argument("--only-ours", action="store_true", help="no peers, hence no Python packages")
    parser.add_argument("--ours", nargs="+", metavar="WAY", help="only these of our ways")
    parser.add_argument("--without-torch-compile", action="store_true", help="spares its minutes of compiling")
    parser.add_argument("--whole-loop", action="store_true", help="torch.compile of the loop, too: a minute or more each")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--most-seconds", type=float, default=60, help="starts no round of a workload after so long")
    parser.add_argument("--quick", action="store_true", help="so few repetitions that the figures mean nothing")
    parser.add_argument("--json", metavar="FILE", help="write every row and the host there")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/dev/bin", metavar="FOLDER")
    options = parser.parse_args()
    if options.bench == "cell" and any(cell.startswith(("stacked_", "bidirectional_")) for cell in options.cell):
        parser.error("layers and directions are of a sequence only: use rnn")
    if options.input_gradients:
        options.mode = ["training_with_dX" if mode == "training" else mode for mode in options.mode]
    if options.quick:
        options.rounds, options.most_seconds = 1, 5
    return options


def start_all(options):
    """Processes of ours and of every peer, for each number of threads; a peer that is not there is a line."""
    processes, missing = [], set()
    for threads in options.threads:
        processes.append(start_ours(options.bench, threads, options.programs))
        for name in [] if options.only_ours else options.peers:
            try:
                if name not in missing:
                    processes.append(start_peer(name, options.bench, threads))
            except Failed as reason:
                missing.add(name)
                print(f"left out: {name}: {reason}")
    return processes


def wanted(options, process, way):
    if process.name == "calque":
        return not options.ours or way in options.ours
    if way == "compile_loop":
        return options.whole_loop
    return way != "compile_cell" or not options.without_torch_compile


def shapes(options):
    """(B, I, H, T) of every workload."""
    sizes = [tuple(map(int, size.split(","))) for size in options.sizes]
    steps = 1 if options.bench == "cell" else options.steps
    if not options.sweep:
        return [(*size, steps) for size in sizes]
    batch, inputs, hidden = sizes[0]
    change = {"T": lambda n: (batch, inputs, hidden, n), "B": lambda n: (n, inputs, hidden, steps),
              "H": lambda n: (batch, n, n, steps)}[options.sweep]
    return [change(n) for n in SWEEPS[options.sweep]]


def contenders_of(options, processes, workload, data, folder):
    """Those that can run the workload and agree with our eager results; and why the others cannot, by their names."""
    cell, _, steps, mode = workload
    ready, left_out, reference = [], {}, folder / "reference.safetensors"
    for process in processes:
        try:
            if process.name != "calque" and steps > options.longest_for_peers:
                raise Failed(f"is not asked for more than {options.longest_for_peers} steps")
            ways = [way for way in process.ask("ways", cell, mode) if wanted(options, process, way)]
        except Failed as reason:
            left_out[process.name] = str(reason)
            continue
        for way in ways:
            contender, results = Contender(process, way), folder / "results.safetensors"
            try:
                contender.set_up(cell, mode, data, results if reference.exists() else reference)
                difference, what = processes[0].ask("compare", reference, results if results.exists() else reference)
                contender.difference = float(difference)
                if not contender.difference <= TOLERANCE:
                    raise Failed(f"{what} differs by {difference} (limit {TOLERANCE:g})")
                if len(process.cores()) > process.threads:
                    raise Failed(f"its threads run on {len(process.cores())} cores")
                ready.append(contender)
            except Failed as reason:
                contender.drop()
                left_out[f"{contender.name}, {process.threads} threads"] = str(reason)
    return ready, left_out


def measure(contenders, options):
    """Turns of about TURN_US each; who is many times slower than the best gets only two of them. Gives what a barrier of our
    threads took between the rounds, {threads: [ns]}: a virtual machine's host moves its processors, and then it changes."""
    counts, fastest, barriers = {}, None, {}
    teams = {contender.process for contender in contenders if contender.is_ours and contender.process.threads > 1}
    start = time.perf_counter()
    for number in range(options.rounds):
        if number > 0 and time.perf_counter() - start > options.most_seconds:
            break
        for process in teams:
            barriers.setdefault(process.threads, []).append(float(process.ask("barrier")[0]))
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            if number >= 2 and statistics.median(contender.us) > HOPELESS * fastest:
                continue
            time.sleep(0.02)  # the one before lets go of its cores
            once = contender.run(1)[0]  # caches are the contender's own again
            counts[contender] = 1 if options.quick else max(2, min(500, int(TURN_US / once)))
            contender.us += contender.run(counts[contender])
        fastest = min(statistics.median(contender.us) for contender in contenders)
    return barriers


def row_of(options, workload, contenders, left_out, threads, limit, barrier_ns):
    """One object of the results. Peers may use fewer threads than we do."""
    cell, shape, steps, mode = workload
    ours = [c for c in contenders if c.is_ours and c.process.threads == threads]
    peers = [c for c in contenders if not c.is_ours and c.process.threads <= threads]
    median = lambda c: statistics.median(c.us)
    best, peer = min(ours, key=median, default=None), min(peers, key=median, default=None)
    counts = options.bench == "rnn" and steps == 100 and threads == 2 and mode != "training_with_dX"
    goals = GOALS.get((cell, shape)) if counts else None
    label = lambda c: c and f"{c.name}, {c.process.threads} threads" if c and c.process.threads != threads else c and c.name
    return {"bench": options.bench, "workload": cell, "shape": shape, "steps": steps, "mode": mode, "threads": threads,
            "ours": best and best.way, "ours_us": best and median(best), "ours_minimum_us": best and min(best.us),
            "best_peer": label(peer), "best_peer_us": peer and median(peer), "best_peer_threads": peer and peer.process.threads,
            "best_peer_minimum_us": peer and min(peer.us),
            "ratio": median(peer) / median(best) if best and peer else None,
            "ratio_of_minima": min(peer.us) / min(best.us) if best and peer else None, "limit_us": limit,
            "fraction_of_limit": limit / median(best) if best and limit else None,
            "goal_ratio": goals and goals[mode == "training"], "load": os.getloadavg()[0],
            "barrier_ns": barrier_ns,
            "all": {c.name: {"median_us": median(c), "minimum_us": min(c.us), "samples": len(c.us), "first_calls_ms": c.first_ms,
                             "difference": c.difference} for c in contenders if c.process.threads == threads},
            "left_out": left_out}


def number(value, digits=4):
    return "-" if value is None else f"{value:.{digits}g}"


def print_row(row):
    barrier = f", a barrier takes {min(row['barrier_ns']):.0f} to {max(row['barrier_ns']):.0f} ns" if row["barrier_ns"] else ""
    print(f"\n{row['workload']} {row['shape']} T={row['steps']} {row['mode']}, {row['threads']} threads, load {row['load']:.1f}: "
          f"ours {row['ours']} {number(row['ours_us'])} us, best peer {row['best_peer']} {number(row['best_peer_us'])} us, "
          f"ratio {number(row['ratio'], 3)} (of minima {number(row['ratio_of_minima'], 3)}, goal {number(row['goal_ratio'])}), "
          f"limit {number(row['limit_us'])} us ({number(row['fraction_of_limit'], 2)} of it reached)" + barrier)
    print(f"  {'':<28}{'median us':>12}{'minimum us':>12}{'x ours':>9}{'first ms':>11}{'difference':>12}")
    for name, figures in sorted(row["all"].items(), key=lambda item: item[1]["median_us"]):
        times = figures["median_us"] / row["ours_us"] if row["ours_us"] else None
        print(f"  {name:<28}{figures['median_us']:>12.5g}{figures['minimum_us']:>12.5g}{number(times, 3):>9}"
              f"{figures['first_calls_ms']:>11.0f}{figures['difference']:>12.1e}", flush=True)
    for name, reason in row["left_out"].items():
        print(f"  {name:<27} left out: {reason}", flush=True)


def rows_of(options, processes, speeds, machine, folder):
    for cell in options.cell:
        for batch, inputs, hidden, steps in shapes(options):
            data = folder / "data.safetensors"
            *bytes_read, inference, training, with_dx = map(float, processes[0].ask("data", cell, batch, inputs, hidden, steps, data))
            flops = {"inference": inference, "training": training, "training_with_dX": with_dx}
            for mode in options.mode:
                workload = (cell, f"{batch},{inputs},{hidden}", steps, mode)
                contenders, left_out = contenders_of(options, processes, workload, data, folder)
                barriers = measure(contenders, options)
                for threads in options.threads:
                    limit = limit_us([flops[mode], *bytes_read], speeds.get(threads, {}), machine["caches"], threads, steps)
                    row = row_of(options, workload, contenders, left_out, threads, limit, barriers.get(threads))
                    print_row(row)
                    yield row
                for contender in contenders:
                    contender.drop()
                for file in folder.glob("re*.safetensors"):
                    file.unlink()


def groups_of(rows):
    """Rows by what is one curve of a sweep: (cell, mode, threads)."""
    groups = {}
    for row in rows:
        groups.setdefault((row["workload"], row["mode"], row["threads"]), []).append(row)
    return groups


def print_steps(rows):
    """What a step costs at each length, and beside that at T = 100, of each of our ways; in the rows, too."""
    for (cell, mode, threads), group in groups_of(rows).items():
        shape = group[0]["shape"]
        print(f"\n{cell} {shape} {mode}, {threads} threads: us a step (minimum; times that at T = 100, of minima)")
        for way in sorted({name for row in group for name in row["all"] if name.startswith("calque ")}):
            figures = {row["steps"]: row["all"][way] for row in group if way in row["all"]}
            base, line = figures.get(100), []
            for steps, figure in figures.items():
                figure["us_a_step"] = figure["median_us"] / steps
                ratios = [figure[key] / steps * 100 / base[key] if base else None for key in ("median_us", "minimum_us")]
                figure["step_beside_100"], figure["step_beside_100_of_minima"] = ratios
                line.append(f"T={steps} {figure['us_a_step']:.4g} ({figure['minimum_us'] / steps:.4g}; {number(ratios[0])}, "
                            f"{number(ratios[1])})")
            print(f"  {way:<24}" + "  ".join(line))


def draw(options, rows):
    """Time against what was varied: a plot for each cell, mode and number of threads."""
    folder = pathlib.Path(options.plots)
    folder.mkdir(parents=True, exist_ok=True)
    place = {"T": lambda row: row["steps"], "B": lambda row: int(row["shape"].split(",")[0]),
             "H": lambda row: int(row["shape"].split(",")[2])}[options.sweep]
    for key, group in groups_of(rows).items():
        series = {}
        for row in group:
            for name, figures in row["all"].items():
                series.setdefault(name, []).append((place(row), figures["median_us"]))
        file = folder / f"{options.bench}_{key[0]}_{key[1]}_{key[2]}_by_{options.sweep}.svg"
        file.write_text(svg(f"{key[0]}, {key[1]}, {key[2]} threads", options.sweep, "us", series))
        print(f"plot: {file}")


def main():
    options = arguments()
    if not os.access(options.programs / f"bench_{options.bench}", os.X_OK):
        sys.exit(f"compare.py: there is no program bench_{options.bench} in {options.programs}; build it first (./dev build)")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        machine = host(ROOT)
        speeds = roofline(options.programs / "bench_roofline", max(options.threads), options.quick, folder / "roofline.json")
        for threads, measured in speeds.items():
            print(f"{threads} threads: " + ", ".join(f"{what} {giga:.0f}" for what, giga in measured.items()) + " (GFLOP/s, GB/s)")
        processes = start_all(options)
        try:
            rows = list(rows_of(options, processes, speeds, machine, folder))
            used = [{"name": p.name, "threads": p.threads, "cores": sorted(p.cores())} for p in processes]
        finally:
            for process in processes:
                process.close()
    if options.sweep == "T":
        print_steps(rows)
    if options.sweep:
        draw(options, rows)
    if options.json:
        versions = {process.name: process.version for process in processes if process.version}
        record = {"host": machine, "roofline": speeds, "versions": versions, "processes": used, "rows": rows}
        pathlib.Path(options.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
