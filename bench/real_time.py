#!/usr/bin/env python3
# One step of an LSTM (1,64,64), a million times, beside ONNX Runtime: how late the latest calls are.
"""Both run in turns, each in a process of its own pinned to one core. The table gives microseconds of a call: the median, the
99.9th and 99.99th percentile and the largest, and how many times the median the percentiles are. ONNX Runtime is called
from Python (with bound buffers), which is part of its times."""
import argparse
import json
import pathlib
import sys
import tempfile

from contenders import ROOT, Contender, Failed, Process, start_peer
from host import host

SIZES = (1, 64, 64)  # B, I, H


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000, help="of each, in all (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--only-ours", action="store_true", help="no peer, hence no Python packages")
    parser.add_argument("--json", metavar="FILE", help="write the figures and the host there")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build/dev/bin", metavar="FOLDER")
    return parser.parse_args()


def peers(options, folder):
    """Ways of ONNX Runtime to run one step; none where it is not installed."""
    data = folder / "data.safetensors"
    maker = Process("calque", 1, [str(options.programs / "bench_cell"), "--serve"])
    maker.ask("data", "lstm", *SIZES, 1, data)
    maker.close()
    try:
        peer = start_peer("onnxruntime", "cell", 1)
    except Failed as reason:
        print(f"left out: onnxruntime: {reason}")
        return []
    contenders = [Contender(peer, way) for way in peer.ask("ways", "lstm", "inference")]
    for contender in contenders:
        contender.set_up("lstm", "inference", data, folder / "results.safetensors")
    return contenders


def figures(us):
    us = sorted(us)
    at = lambda part: us[int(part * (len(us) - 1))]
    return {"median": at(0.5), "p99.9": at(0.999), "p99.99": at(0.9999), "largest": us[-1]}


def row_of(options, name, rows):
    """One object of the results, as all benchmarks write them; ours, beside the peer whose median is least."""
    others = {other: row["median"] for other, row in rows.items() if other != name}
    peer = min(others, key=others.get, default=None)
    us = rows[name]["median"]
    return {"bench": "real_time", "workload": "lstm, one step", "shape": ",".join(map(str, SIZES)), "mode": "inference",
            "threads": 1, "ours": name, "ours_us": us, "best_peer": peer, "best_peer_us": peer and others[peer],
            "ratio": others[peer] / us if peer else None, "limit_us": None, "goal_ratio": None, "calls": options.calls,
            "all": rows}


def main():
    options = arguments()
    mine = "calque pure, no audits"
    ours = Process("calque", 1, [str(options.programs / "bench_real_time"), "--serve"], {"CALQUE_NUM_THREADS": "1"})
    with tempfile.TemporaryDirectory() as name:
        others = [] if options.only_ours else peers(options, pathlib.Path(name))
        count = max(1, options.calls // options.turns)
        runs = {mine: lambda: [float(us) for us in ours.ask("run", count)]}
        runs |= {contender.name: lambda contender=contender: contender.run(count) for contender in others}
        times = {name: [] for name in runs}
        for _ in range(options.turns):
            for name, run in runs.items():
                times[name] += run()
        versions = {contender.process.name: contender.process.version for contender in others}
        for process in [ours] + [contender.process for contender in others[:1]]:
            process.close()
    rows = {name: figures(us) for name, us in times.items()}
    print(f"{'us':<28}{'median':>10}{'p99.9':>10}{'p99.99':>10}{'largest':>10}   p99.9 and p99.99 / median")
    for name, row in rows.items():
        print(f"{name:<28}" + "".join(f"{us:>10.2f}" for us in row.values()) +
              f"   {row['p99.9'] / row['median']:.2f}, {row['p99.99'] / row['median']:.2f}")
    if options.json:
        record = {"host": host(ROOT), "versions": versions, "rows": [row_of(options, mine, rows)]}
        pathlib.Path(options.json).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
