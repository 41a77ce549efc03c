#!/usr/bin/env python3
# Compares every op on all test cases with NumPy and torch.
"""Runs a test program that writes the cases of every op, and judges each result by NumPy and, for ops that NumPy lacks, by
torch. Exit code 77 (a skipped test) where NumPy is missing; without torch its ops are counted as not judged. Nothing is
downloaded: `./dev bench demo` makes .venv-bench, which has both, and is preferred where it is there.

Usage: judge_ops.py PROGRAM"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

from numpy_or_skip import np
try:
    import torch
except ImportError:
    torch = None

DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32, "bool": np.bool_}

# Why an op, or an aspect of it, has no judge here; each is judged by the C++ oracle.
NOT_JUDGED = {
    "philox": "neither has Philox4x32-10 as a function", "rand": "as philox", "randn": "as philox",
    "randint": "as philox", "dropout": "as philox", "detach": "no numbers change",
}
DIFFERENT_SPECIALS = {
    "sin": "beyond 6.5e6 (f32) and 2e15 (f64) the angle counts as 0", "cos": "as sin", "tan": "as sin",
    "floor_divide": "integers by 0 give 0; large quotients are rounded", "remainder": "integers by 0, large quotients",
    "pow": "NumPy refuses negative powers of integers", "cast": "NumPy wraps where Calque saturates",
    "gelu_erf": "minus infinity times 0", "clamp": "as cast", "prod": "partial products leave the range",
    "matmul": "infinities meet in another order", "layer_norm": "squares overflow", "var": "squares overflow",
    "std": "squares overflow", "mse_loss": "squares overflow", "sigmoid": "0 instead of a subnormal",
    "binary_cross_entropy_with_logits": "infinities meet in another order", "gelu": "cubes overflow",
    "softmax": "torch and IEEE differ on rows of infinities", "log_softmax": "as softmax", "cross_entropy": "as softmax",
    "one_hot": "torch refuses numbers out of range", "ndtri": "torch gives NaN beside 0 and 1",
}


def axes(a):
    return tuple(a["axes"]) or None


def reduction(function):
    def judge(a, x):
        return function(x, axis=axes(a), keepdims=a["keepdim"])
    return judge


def numpy_pow(a, x, y):
    if x.dtype.kind != "i":
        return np.power(x, y)
    wide = np.where(y < 0, 0, y)
    inverse = np.where(x == 1, 1, np.where(x == -1, np.where(y % 2 == 0, 1, -1), 0)).astype(x.dtype)
    return np.where(y < 0, inverse, np.power(x, wide))


def integer_division(function, by_zero):
    def judge(a, x, y):
        if x.dtype.kind != "i":
            return function(x, y)
        return np.where(y == 0, by_zero(x), function(x, np.where(y == 0, 1, y)))
    return judge


def index_add(a, x, i):
    y = np.zeros((a["rows"],) + x.shape[i.ndim:], x.dtype)
    np.add.at(y, i, x)
    return y


def scatter_add(a, x, i):
    shape = list(x.shape)
    shape[a["axis"]] = a["size"]
    y = np.zeros(shape, x.dtype)
    places = list(np.indices(x.shape))
    places[a["axis"]] = i
    np.add.at(y, tuple(places), x)
    return y


def pad(a, x):
    widths = [(0, 0)] * x.ndim
    widths[a["axis"]] = (a["before"], a["after"])
    return np.pad(x, widths)


def sliced(a, x):
    size = x.shape[a["axis"]]
    start, stop = (b + size if b < 0 else b for b in (a["start"], a["stop"]))
    return np.take(x, np.arange(start, stop), axis=a["axis"])


def full(a):
    dtype = DTYPES[a["dtype"]]
    if np.dtype(dtype).kind != "i":
        return np.full(a["shape"], a["value"]).astype(dtype)
    limits = np.iinfo(dtype)
    value = 0 if a["value"] != a["value"] else int(max(min(a["value"], limits.max), limits.min))
    return np.full(a["shape"], min(value, limits.max), dtype)


def layer_norm(a, x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + a["epsilon"])


NUMPY = {
    "neg": lambda a, x: -x, "abs": lambda a, x: np.abs(x), "sign": lambda a, x: np.sign(x), "square": lambda a, x: x * x,
    "reciprocal": lambda a, x: 1 / x, "sqrt": lambda a, x: np.sqrt(x), "rsqrt": lambda a, x: 1 / np.sqrt(x),
    "exp": lambda a, x: np.exp(x), "expm1": lambda a, x: np.expm1(x), "log": lambda a, x: np.log(x),
    "log1p": lambda a, x: np.log1p(x), "sin": lambda a, x: np.sin(x), "cos": lambda a, x: np.cos(x),
    "tan": lambda a, x: np.tan(x), "atan": lambda a, x: np.arctan(x), "tanh": lambda a, x: np.tanh(x),
    "sigmoid": lambda a, x: 1 / (1 + np.exp(-x)), "softplus": lambda a, x: np.logaddexp(0, x),
    "relu": lambda a, x: np.maximum(x, 0), "floor": lambda a, x: np.floor(x), "ceil": lambda a, x: np.ceil(x),
    "round": lambda a, x: np.round(x), "trunc": lambda a, x: np.trunc(x), "isnan": lambda a, x: np.isnan(x),
    "isinf": lambda a, x: np.isinf(x), "isfinite": lambda a, x: np.isfinite(x), "logical_not": lambda a, x: ~x,
    "bitwise_not": lambda a, x: ~x, "add": lambda a, x, y: x + y, "sub": lambda a, x, y: x - y,
    "mul": lambda a, x, y: x * y, "div": lambda a, x, y: x / y,
    "floor_divide": integer_division(np.floor_divide, np.zeros_like),
    "remainder": integer_division(np.remainder, np.copy), "pow": numpy_pow, "atan2": lambda a, x, y: np.arctan2(x, y),
    "maximum": lambda a, x, y: np.maximum(x, y), "minimum": lambda a, x, y: np.minimum(x, y),
    "less": lambda a, x, y: x < y, "less_equal": lambda a, x, y: x <= y, "greater": lambda a, x, y: x > y,
    "greater_equal": lambda a, x, y: x >= y, "equal": lambda a, x, y: x == y, "not_equal": lambda a, x, y: x != y,
    "logical_and": lambda a, x, y: x & y, "logical_or": lambda a, x, y: x | y, "logical_xor": lambda a, x, y: x ^ y,
    "bitwise_and": lambda a, x, y: x & y, "bitwise_or": lambda a, x, y: x | y, "bitwise_xor": lambda a, x, y: x ^ y,
    "where": lambda a, m, x, y: np.where(m, x, y),
    "full": full,
    "arange": lambda a: np.arange(a["stop"]).astype(DTYPES[a["dtype"]]),
    "cast": lambda a, x: x.astype(DTYPES[a["dtype"]]), "reshape": lambda a, x: x.reshape(a["shape"]),
    "permute": lambda a, x: x.transpose(a["axes"]), "expand": lambda a, x: np.broadcast_to(x, a["shape"]), "slice": sliced,
    "every": lambda a, x: np.take(x, np.arange(0, x.shape[a["axis"]], a["step"]), axis=a["axis"]),
    "split": lambda a, x: np.split(x, a["parts"], a["axis"]), "pad": pad,
    "concat": lambda a, *x: np.concatenate(x, a["axis"]), "flip": lambda a, x: np.flip(x, axes(a)),
    "sum": reduction(np.sum), "prod": reduction(np.prod), "max": reduction(np.max), "min": reduction(np.min),
    "any": reduction(np.any), "all": reduction(np.all), "mean": reduction(np.mean),
    "argmax": lambda a, x: np.argmax(x, a["axis"]), "argmin": lambda a, x: np.argmin(x, a["axis"]),
    "var": lambda a, x: np.var(x, axis=axes(a), keepdims=a["keepdim"], ddof=a["correction"]),
    "std": lambda a, x: np.std(x, axis=axes(a), keepdims=a["keepdim"], ddof=a["correction"]),
    "matmul": lambda a, x, y: np.matmul(x, y), "take": lambda a, x, i: x[i], "index_add": index_add,
    "gather": lambda a, x, i: np.take_along_axis(x, i.astype(np.int64), a["axis"]), "scatter_add": scatter_add,
    "index_select": lambda a, x, i: np.take(x, i, axis=a["axis"]),
    "clamp": lambda a, x: np.clip(x, np.array(a["low"]).astype(x.dtype), np.array(a["high"]).astype(x.dtype)),
    "layer_norm": layer_norm, "silu": lambda a, x: x / (1 + np.exp(-x)),
    "gelu": lambda a, x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "mse_loss": lambda a, x, y: np.mean((x - y) ** 2),
    "one_hot": lambda a, x: (x[..., None] == np.arange(a["classes"])).astype(DTYPES[a["dtype"]]),
}


def torch_judges():
    f, t = torch.nn.functional, torch.from_numpy
    return {
        "erf": lambda a, x: torch.erf(t(x)), "ndtri": lambda a, x: torch.special.ndtri(t(x)),
        "logsumexp": lambda a, x: torch.logsumexp(t(x), a["axes"] or list(range(x.ndim)), a["keepdim"]),
        "softmax": lambda a, x: torch.softmax(t(x), a["axis"]), "log_softmax": lambda a, x: torch.log_softmax(t(x), a["axis"]),
        "gelu_erf": lambda a, x: f.gelu(t(x)), "cross_entropy": lambda a, x, y: f.cross_entropy(t(x), t(y.astype(np.int64))),
        "binary_cross_entropy_with_logits": lambda a, x, y: f.binary_cross_entropy_with_logits(t(x), t(y)),
    }


def agree(found, expected, operands):
    """The same shape and numbers; floats within an error relative to the largest operand or result."""
    expected = np.asarray(expected)
    if found.shape != expected.shape:
        return False
    if found.dtype.kind != "f":
        return bool(np.array_equal(found, expected.astype(found.dtype)))
    tolerance = 3e-5 if found.dtype == np.float32 else 1e-11
    finite = [np.abs(x[np.isfinite(x)]).max(initial=0) for x in operands if x.dtype.kind == "f"]
    scale = max([1.0, *finite]) if found.size else 1.0
    return bool(np.allclose(found, expected.astype(found.dtype), rtol=tolerance, atol=tolerance * min(scale, 1e6), equal_nan=True))


def main():
    judges = dict(NUMPY)
    if torch:
        judges.update(torch_judges())
    without_torch = set() if torch else set("erf ndtri logsumexp softmax log_softmax gelu_erf cross_entropy "
                                            "binary_cross_entropy_with_logits".split())
    with tempfile.TemporaryDirectory(prefix="calque-judge-") as folder:
        subprocess.run([sys.argv[1], "[.judge]"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "CALQUE_JUDGE_FOLDER": folder})
        data = np.memmap(folder + "/data.bin", np.uint8, "r")
        cases = [json.loads(line) for line in open(folder + "/cases.jsonl", encoding="utf-8")]

        def tensor(where):
            dtype, shape = DTYPES[where["dtype"]], where["shape"]
            count = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            return np.frombuffer(data[where["offset"]:where["offset"] + count].tobytes(), dtype).reshape(shape).copy()

        judged, faults = {}, []
        for case in cases:
            op, attributes = case["op"], case["attributes"]
            if op not in judges:
                if op not in NOT_JUDGED and op not in without_torch:
                    faults.append(f"{op}: has no judge; add one to scripts/judge_ops.py or say why not")
                continue
            if case["aspect"] == "special" and op in DIFFERENT_SPECIALS:
                continue
            inputs = [tensor(x) for x in case.get("inputs") or []]
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = judges[op](attributes, *inputs)
            expected = expected if isinstance(expected, list) else [expected]
            judged[op] = judged.get(op, 0) + 1
            for found, want in zip(case["results"], expected):
                if not agree(tensor(found), want, inputs):
                    shapes = [(x["dtype"], x["shape"]) for x in case.get("inputs") or []]
                    faults.append(f"{op} {case['aspect']} {attributes} {shapes}: differs")
    for fault in sorted(set(faults))[:60]:
        print("FAULT:", fault)
    print(f"{sum(judged.values())} cases of {len(judged)} ops judged by NumPy {np.__version__}"
          + (f" and torch {torch.__version__}" if torch else f"; torch is missing, so not judged: {', '.join(sorted(without_torch))}"))
    print("not judged: " + "; ".join(f"{op} ({why})" for op, why in sorted(NOT_JUDGED.items())))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
