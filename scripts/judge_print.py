#!/usr/bin/env python3
# Compares how random tensors are printed with NumPy's own repr().
"""Runs a test program that writes random tensors as npy files, with options and how Calque prints them, and asks NumPy for the same.
Exit code 77 (a skipped test) where NumPy is missing, or is older than 2.2 (which prints shapes in another way). Nothing is
downloaded: see judge_ops.py, and `./dev judge`.

Usage: judge_print.py PROGRAM"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from numpy_or_skip import SKIPPED, np

NEWEST_CHANGE = (2, 2)
NAMES = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64"}


class tensor(np.ndarray):
    """An array whose repr() begins with the word that Calque's has."""


def one_line_of_remarks(text):
    """Whether `dtype=` still fits on the last line depends on how long the names of types are, which differ."""
    return re.sub(r",\s+((shape|dtype)=)", r", \1", text)


def numpy_text(array, options):
    precision, threshold, edge_items, line_width, suppress = options
    with np.printoptions(precision=precision, threshold=threshold, edgeitems=edge_items, linewidth=line_width,
                         suppress=bool(suppress)):
        text = repr(array.view(tensor))
    return re.sub(r"dtype=(\w+)", lambda match: "dtype=" + NAMES.get(match[1], match[1]), text)


def main():
    version = tuple(int(part) for part in np.__version__.split(".")[:2])
    if version < NEWEST_CHANGE:
        print(f"SKIP: NumPy {np.__version__} is older than 2.2")
        return SKIPPED
    faults = judged = 0
    with tempfile.TemporaryDirectory(prefix="calque-judge-") as folder:
        subprocess.run([sys.argv[1], "[.judge_print]"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "CALQUE_JUDGE_FOLDER": folder})
        for path in sorted(pathlib.Path(folder).glob("*.npy"), key=lambda path: int(path.stem)):
            options, _, text = path.with_suffix(".txt").read_text().partition("\n")
            array = np.load(path)
            expected = numpy_text(array, [int(word) for word in options.split()])
            judged += 1
            if one_line_of_remarks(text) != one_line_of_remarks(expected):
                faults += 1
                if faults <= 10:
                    print(f"FAULT: {array.dtype} {array.shape}, options {options}\n{text}\nNumPy:\n{expected}\n")
    print(f"{judged} printed tensors judged by NumPy {np.__version__}; {faults} differ")
    return 1 if faults or judged < 1000 else 0


if __name__ == "__main__":
    sys.exit(main())
