#!/usr/bin/env python3
# Judges every op by NumPy, or by torch where NumPy has no function for it, and gradients by torch: results of other people's code.
"""Runs a test program that writes the cases of every op and what they give, and compares. Exit code 77 (a skipped test) where NumPy
is missing; without torch, the ops that only torch has, and gradients, are named as not judged. Nothing is downloaded: `./dev judge`
makes .venv-bench, which has both, and is preferred where it is there.

Usage: judge_ops.py PROGRAM"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

from numpy_or_skip import np
import judges_torch
from judges_numpy import DTYPES, NUMPY

# Why an op has no judge here; each is judged by the C++ oracle.
NOT_JUDGED = {
    "philox": "neither has Philox4x32-10 as a function", "rand": "as philox", "randn": "as philox",
    "randint": "as philox", "dropout": "as philox", "detach": "no numbers change",
}
ONLY_TORCH = "erf ndtri logsumexp softmax log_softmax gelu_erf cross_entropy binary_cross_entropy_with_logits".split()

# Elements on which two right answers differ: (reason, attributes, operands and what is wanted -> a mask of them). Of special values
# all else must agree.
MANTISSA = {"f4": 24, "f8": 53}


def has_large_angle(a, x, want):
    return np.abs(x) > (6.5e6 if x.dtype == np.float32 else 2e15)


def has_large_quotient(a, x, y, want):
    if x.dtype.kind != "f":
        return np.zeros(want.shape, bool)
    return (np.abs(x / y) >= 2.0 ** MANTISSA[x.dtype.str[1:]]) & (y != 0) & np.isfinite(x)


def is_rounded_or_infinite(a, x, y, want):
    return has_large_quotient(a, x, y, want) | (np.isinf(x) if x.dtype.kind == "f" else False)


def is_subnormal(a, x, want):
    return np.abs(want) < np.finfo(x.dtype).tiny


def leaves_the_range(a, x, want):
    """Whether a product, in some order, may be infinite or subnormal on its way."""
    if x.dtype.kind != "f":
        return np.zeros(want.shape, bool)
    sizes = np.where(np.isfinite(x) & (x != 0), np.log2(np.abs(x.astype(np.float64))), 0)
    largest, smallest = (NUMPY["sum"](a, part) for part in (np.maximum(sizes, 0), np.minimum(sizes, 0)))
    return (largest >= np.finfo(x.dtype).maxexp) | (smallest <= np.finfo(x.dtype).minexp)


def sum_leaves_the_range(op):
    """The same of the sums that an op makes."""
    def judge(a, *operands):
        sizes = [np.where(np.isfinite(x), np.abs(x), 0) if x.dtype.kind == "f" else x for x in operands[:-1]]
        return np.isinf(NUMPY[op](a, *sizes)) if sizes[0].dtype.kind == "f" else np.zeros(operands[-1].shape, bool)
    return judge


# Each element is a sum of terms that may cancel: its error is relative to the sum of their sizes.
SUMS = ["sum", "mean", "matmul", "index_add", "scatter_add"]
DIFFERENT = {
    **{op: ("partial sums leave the range in another order", sum_leaves_the_range(op)) for op in SUMS},
    "sin": ("beyond 6.5e6 (f32) and 2e15 (f64) the angle counts as 0", has_large_angle),
    "cos": ("as sin", has_large_angle), "tan": ("as sin", has_large_angle),
    "floor_divide": ("quotients beyond the mantissa are rounded; infinity by a number is infinity, where NumPy has NaN",
                     is_rounded_or_infinite),
    "remainder": ("what is left of such a quotient is 0", has_large_quotient),
    "sigmoid": ("0 instead of a subnormal", is_subnormal),
    "prod": ("partial products leave the range in another order", leaves_the_range),
    "binary_cross_entropy_with_logits": ("of an infinite logit one formula takes infinity from infinity where the other does not",
                                         lambda a, x, y, want: np.full(want.shape, np.isinf(x).any())),
}
# Cases whose gradients torch does not judge, in the same way.
DIFFERENT_GRADIENTS = {
    "floor_divide": ("torch has none; it is zero, as of every step", lambda a, x, y, want: np.array(True)),
    "prod": ("as of special values", leaves_the_range),
    "std": ("0 / 0 where all elements are equal, of which torch makes 0; much is cancelled where they nearly are",
            lambda a, x, want: want < 0.01 * np.abs(x).max(initial=0)),
}


def tolerance_of(dtype):
    return 3e-5 if dtype == np.float32 else 1e-11


def close(found, expected, absolute):
    return np.isclose(found, expected.astype(found.dtype), rtol=tolerance_of(found.dtype), atol=absolute, equal_nan=True)


def agree(case, found, expected, inputs, judge):
    """The same shape and numbers. The error of floats is relative to each number where an op makes each of one, else to their scale."""
    if found.shape != expected.shape:
        return False
    ignored = False
    if case["aspect"] == "special" and case["op"] in DIFFERENT:
        ignored = DIFFERENT[case["op"]][1](case["attributes"], *inputs, expected)
    if found.dtype.kind != "f":
        return bool(np.all(ignored | (found == expected.astype(found.dtype))))
    absolute = 0.0 if case["elementwise"] else 10 * tolerance_of(found.dtype)
    if case["op"] in SUMS:
        sizes = judge(case["attributes"], *(np.abs(x) if x.dtype.kind == "f" else x for x in inputs))
        absolute = tolerance_of(found.dtype) * np.asarray(sizes)
    return bool(np.all(ignored | close(found, expected, absolute)))


def gradients_agree(found, expected):
    """Relative to the largest: gradients of what was broadcast are sums."""
    if any(x.shape != y.shape for x, y in zip(found, expected)):
        return False
    scale = max([1.0, *(np.abs(x[np.isfinite(x)]).max(initial=0) for x in expected)])
    return all(close(x, y, tolerance_of(x.dtype) * scale).all() for x, y in zip(found, expected))


class Cases:
    """What the program wrote: a line for each case, and the elements of all tensors in one file."""

    def __init__(self, program, folder):
        subprocess.run([program, "[.judge]"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "CALQUE_JUDGE_FOLDER": folder})
        self.data = np.memmap(folder + "/data.bin", np.uint8, "r")
        self.list = [json.loads(line) for line in open(folder + "/cases.jsonl", encoding="utf-8")]

    def tensors(self, places):
        return [self.tensor(place) for place in places]

    def tensor(self, place):
        dtype, shape = DTYPES[place["dtype"]], place["shape"]
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return np.frombuffer(self.data[place["offset"]:place["offset"] + count].tobytes(), dtype).reshape(shape).copy()


def judge_of(op):
    if op in NUMPY:
        return NUMPY[op]
    if op in ONLY_TORCH and judges_torch.torch:
        return lambda a, *inputs: judges_torch.results(op, a, inputs)
    return None


def fault_of(case, cases):
    """What is wrong with a case; empty when nothing is."""
    judge, inputs = judge_of(case["op"]), cases.tensors(case["inputs"])
    expected = judge(case["attributes"], *inputs)
    expected = [np.asarray(x) for x in (expected if isinstance(expected, list) else [expected])]
    if not all(agree(case, found, want, inputs, judge) for found, want in zip(cases.tensors(case["results"]), expected)):
        return "differs"
    return gradient_fault_of(case, cases, inputs, expected) if case["gradients"] and judges_torch.torch else ""


def gradient_fault_of(case, cases, inputs, results):
    _, differs = DIFFERENT_GRADIENTS.get(case["op"], ("", None))
    if differs and np.any(differs(case["attributes"], *inputs, *results)):
        return ""
    if judges_torch.judge(case["op"]) is None:
        return "its gradient has no judge; add one to scripts/judges_torch.py or say why not"
    case["judged_gradient"] = True
    expected = judges_torch.gradients(case["op"], case["attributes"], inputs, cases.tensors(case["seeds"]))
    return "" if gradients_agree(cases.tensors(case["gradients"]), expected) else "its gradient differs"


def reasons(table):
    return "; ".join(f"{op} ({why if isinstance(why, str) else why[0]})" for op, why in sorted(table.items()))


def say_what_was_judged(judged, gradients):
    torch = judges_torch.torch
    print(f"{sum(judged.values())} cases of {len(judged)} ops judged by NumPy {np.__version__}"
          + (f" and torch {torch.__version__}" if torch else f"; torch is missing, so not judged: {', '.join(ONLY_TORCH)}"))
    print(f"{sum(gradients.values())} gradients of {len(gradients)} ops judged by torch; not all of: {reasons(DIFFERENT_GRADIENTS)}"
          if torch else "gradients are not judged, either")
    print("not judged: " + reasons(NOT_JUDGED))
    print("special values that may differ: " + reasons(DIFFERENT))


def main():
    judged, gradients, faults = {}, {}, []
    with tempfile.TemporaryDirectory(prefix="calque-judge-") as folder, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = Cases(sys.argv[1], folder)
        for case in cases.list:
            op = case["op"]
            if judge_of(op) is None:
                if op not in NOT_JUDGED and op not in ONLY_TORCH:
                    faults.append(f"{op}: has no judge; add one to scripts/judges_numpy.py or say why not")
                continue
            judged[op] = judged.get(op, 0) + 1
            fault = fault_of(case, cases)
            if "judged_gradient" in case:
                gradients[op] = gradients.get(op, 0) + 1
            if fault:
                shapes = [(x["dtype"], x["shape"]) for x in case["inputs"]]
                faults.append(f"{op} {case['aspect']} {case['attributes']} {shapes}: {fault}")
    for fault in sorted(set(faults))[:60]:
        print("FAULT:", fault)
    say_what_was_judged(judged, gradients)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
