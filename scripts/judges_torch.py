# What ops give, by torch, whose functions can be differentiated: judge_ops.py compares results and gradients. None without torch.
# a are the attributes, what follows are the operands.
try:
    import torch
except ImportError:
    torch = None


def table():
    f = torch.nn.functional
    dtypes = {"f32": torch.float32, "f64": torch.float64, "i64": torch.int64, "i32": torch.int32, "bool": torch.bool}

    def axes(a, x):
        return a["axes"] or list(range(x.ndim))

    def over_axes(function, **others):
        return lambda a, x: function(x, axes(a, x), keepdim=a["keepdim"], **{name: a[key] for name, key in others.items()})

    def prod(a, x):
        for axis in sorted((axis % x.ndim for axis in axes(a, x)), reverse=True):
            x = torch.prod(x, axis, keepdim=a["keepdim"])
        return x

    def sliced(a, x):
        size = x.shape[a["axis"]]
        start, stop = (b + size if b < 0 else b for b in (a["start"], a["stop"]))
        return torch.narrow(x, a["axis"], start, stop - start)

    def every(a, x):
        return torch.index_select(x, a["axis"], torch.arange(0, x.shape[a["axis"]], a["step"]))

    def pad(a, x):
        def zeros(count):
            shape = list(x.shape)
            shape[a["axis"]] = count
            return torch.zeros(shape, dtype=x.dtype)
        return torch.cat([zeros(a["before"]), x, zeros(a["after"])], a["axis"])

    def power(a, x, y):  # by the exponent only where x > 0: below, where torch has NaN, the gradient is 0
        is_above = x > 0
        return torch.where(is_above, torch.pow(torch.where(is_above, x, 1), y), torch.pow(x, y.detach()))

    def index_add(a, x, i):
        return torch.zeros((a["rows"],) + x.shape[i.ndim:], dtype=x.dtype).index_put((i.long(),), x, accumulate=True)

    def scatter_add(a, x, i):
        shape = list(x.shape)
        shape[a["axis"]] = a["size"]
        return torch.zeros(shape, dtype=x.dtype).scatter_add(a["axis"], i.long(), x)

    special = {
        "pow": power, "softplus": lambda a, x: f.softplus(x), "ndtri": lambda a, x: torch.special.ndtri(x),
        "cast": lambda a, x: x.to(dtypes[a["dtype"]]), "reshape": lambda a, x: x.reshape(a["shape"]),
        "permute": lambda a, x: x.permute(a["axes"]), "expand": lambda a, x: torch.broadcast_to(x, a["shape"]),
        "slice": sliced, "every": every, "split": lambda a, x: torch.tensor_split(x, a["parts"], a["axis"]), "pad": pad,
        "concat": lambda a, *x: torch.cat(x, a["axis"]), "flip": lambda a, x: torch.flip(x, axes(a, x)),
        "sum": over_axes(torch.sum), "mean": over_axes(torch.mean), "prod": prod, "max": over_axes(torch.amax),
        "min": over_axes(torch.amin), "logsumexp": over_axes(torch.logsumexp),
        "var": over_axes(torch.var, correction="correction"), "std": over_axes(torch.std, correction="correction"),
        "take": lambda a, x, i: x[i.long()], "gather": lambda a, x, i: torch.take_along_dim(x, i.long(), a["axis"]),
        "index_add": index_add, "scatter_add": scatter_add,
        "index_select": lambda a, x, i: torch.index_select(x, a["axis"], i),
        "clamp": lambda a, x: torch.clamp(x, *(torch.tensor(a[end]).to(x.dtype).item() for end in ("low", "high"))),
        "silu": lambda a, x: f.silu(x),
        "layer_norm": lambda a, x: f.layer_norm(x, x.shape[-1:], eps=a["epsilon"]),
        "softmax": lambda a, x: torch.softmax(x, a["axis"]), "log_softmax": lambda a, x: torch.log_softmax(x, a["axis"]),
        "gelu": lambda a, x: f.gelu(x, approximate="tanh"),
        "gelu_erf": lambda a, x: 0.5 * x * (1 + torch.erf(x * 0.5**0.5)),  # f.gelu gives NaN for infinity
        "cross_entropy": lambda a, x, y: f.cross_entropy(x, y.long()),
        "mse_loss": lambda a, x, y: f.mse_loss(*torch.broadcast_tensors(x, y)),
        "binary_cross_entropy_with_logits":
            lambda a, x, y: f.binary_cross_entropy_with_logits(*torch.broadcast_tensors(x, y)),
    }
    return special


def judge(op):
    """The op as a function on torch's tensors: one of the table, or what torch has by the same name."""
    function = TABLE.get(op)
    if function is None and hasattr(torch, op):
        namesake = getattr(torch, op)
        function = lambda a, *x: namesake(*x)
    return function


def several(results):
    return list(results) if isinstance(results, (list, tuple)) else [results]


def results(op, attributes, inputs):
    return [y.numpy() for y in several(judge(op)(attributes, *(torch.from_numpy(x) for x in inputs)))]


def gradients(op, attributes, inputs, seeds):
    """Of the sum of all results times their seeds, by each input of floats."""
    tensors = [torch.from_numpy(x).requires_grad_(x.dtype.kind == "f") for x in inputs]
    leaves = [x for x in tensors if x.requires_grad]
    found = torch.autograd.grad(several(judge(op)(attributes, *tensors)), leaves, [torch.from_numpy(seed) for seed in seeds])
    return [x.numpy() for x in found]


TABLE = table() if torch else {}
