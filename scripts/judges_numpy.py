# What each op gives, by NumPy: judge_ops.py compares. a are the attributes, what follows are the operands.
from numpy_or_skip import np

DTYPES = {"f32": np.float32, "f64": np.float64, "i64": np.int64, "i32": np.int32, "bool": np.bool_}


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


def cast(a, x):
    """Where NumPy wraps, Calque saturates: integers take the nearest number that they have, and 0 for NaN."""
    dtype = np.dtype(DTYPES[a["dtype"]])
    if dtype.kind != "i" or x.dtype.kind == "b":
        return x.astype(dtype)
    limits = np.iinfo(dtype)
    is_above, is_below = x >= limits.max, x <= limits.min
    inside = np.where(is_above | is_below | np.isnan(x), 0, x).astype(dtype)
    return np.where(is_above, limits.max, np.where(is_below, limits.min, inside)).astype(dtype)


def full(a):
    return np.broadcast_to(cast(a, np.float64(a["value"])), a["shape"])


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
    "cast": cast, "reshape": lambda a, x: x.reshape(a["shape"]),
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
