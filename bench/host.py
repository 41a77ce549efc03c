# What the machine is: read once for each file of results, beside the figures of the roofline program.
import json
import os
import pathlib
import subprocess


def first_line(path, otherwise=""):
    try:
        return pathlib.Path(path).read_text().split("\n")[0].strip()
    except OSError:
        return otherwise


def processor():
    fields = dict(line.split(":", 1) for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
                  if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    return {key: fields.get(key, "") for key in ("model name", "cpu family", "model")}


def caches():
    result = {}
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = first_line(index / "type")
        if kind != "Instruction":
            result["L" + first_line(index / "level")] = first_line(index / "size")
    return result


def revision(root):
    words = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git here
        return ""


def roofline(program, threads, quick, file):
    """{threads: {"fma_f32": GFLOP/s, "L1": GB/s, ...}} as the program measures it; empty where it measures nothing."""
    command = [str(program), "--threads", str(threads), "--json", str(file)] + (["--quick"] if quick else [])
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    result = {}
    for line in pathlib.Path(file).read_text().splitlines():
        row = json.loads(line)
        giga = row.get("GFLOP/s", row.get("GB/s"))
        if giga:
            result.setdefault(row["threads"], {})[row["workload"]] = giga
    return result


def host(root):
    return {**processor(), "cores": os.cpu_count(), "caches": caches(), "load": os.getloadavg()[0],
            "revision": revision(root)}


def kibibytes(text):
    """"512K", "32M" -> KiB"""
    units = {"K": 1, "M": 1024, "G": 1024 * 1024}
    return int(text[:-1]) * units[text[-1]] if text and text[-1] in units else 0


def limit_us(work, speeds, cache, threads, steps):
    """The larger of two times: of the products at the peak of FMAs, and of reading the matrices (those of the state
    once for each step, from the smallest cache that holds one thread's share of them; those of the input once)."""
    flops, recurrent_bytes, input_bytes = work
    if "fma_f32" not in speeds:
        return None
    share = recurrent_bytes / threads / 1024
    levels = [level for level in ("L1", "L2") if share <= kibibytes(cache.get(level, "")) and level in speeds]
    if not levels and share * threads <= kibibytes(cache.get("L3", "")) and "L3" in speeds:
        levels = ["L3"]
    bandwidth = speeds.get(levels[0] if levels else "memory", 0)
    reading = (recurrent_bytes * steps + input_bytes) / bandwidth / 1e3 if bandwidth else 0
    return max(flops / speeds["fma_f32"] / 1e3, reading)
