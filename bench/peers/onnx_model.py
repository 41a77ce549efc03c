# Writes a cell as an ONNX model: one step, a Scan of it, or the standard's own LSTM, GRU and RNN.
import numpy
from onnx import TensorProto, checker, helper, numpy_helper


class Value:
    """A name in a graph; operators on it add nodes."""

    def __init__(self, graph, name):
        self.graph, self.name = graph, name

    def __add__(self, other):
        return self.graph.node("Add", self, other)

    def __sub__(self, other):
        return self.graph.node("Sub", self, other)

    def __rsub__(self, number):
        return self.graph.node("Sub", number, self)

    def __mul__(self, other):
        return self.graph.node("Mul", self, other)


class Graph:
    """Nodes being collected, and the operations that bench/peers/cells.py is written over."""

    def __init__(self, weights):
        self.nodes, self.initializers = [], dict(weights)

    def name_of(self, operand):
        if isinstance(operand, Value):
            return operand.name
        name = f"number{len(self.initializers)}"
        self.initializers[name] = numpy.float32(operand)
        return name

    def node(self, kind, *operands, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, [self.name_of(o) for o in operands], names, **attributes))
        values = [Value(self, name) for name in names]
        return values if outputs > 1 else values[0]

    def weights(self):
        return {name: Value(self, name) for name in list(self.initializers)}

    def matmul(self, a, b):
        return self.node("MatMul", a, b)

    def sigmoid(self, x):
        return self.node("Sigmoid", x)

    def tanh(self, x):
        return self.node("Tanh", x)

    def relu(self, x):
        return self.node("Relu", x)

    def split(self, x, parts):
        return self.node("Split", x, outputs=parts, axis=-1, num_outputs=parts)

    def layer_norm(self, x, gamma, beta):
        return self.node("LayerNormalization", x, gamma, beta, axis=-1, epsilon=1e-5)

    def identity(self, value, name):
        self.nodes.append(helper.make_node("Identity", [value.name], [name]))


def info(names, arrays):
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, array if isinstance(array, tuple) else array.shape)
            for name, array in zip(names, arrays)]


def model_of(nodes, inputs, outputs, initializers):
    constants = [numpy_helper.from_array(numpy.asarray(array), name) for name, array in initializers.items()]
    graph = helper.make_graph(nodes, "cell", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()


def output_shape(task):
    """Of one step's output: as its state, or for a cell whose output is none of its states, as its memory."""
    return task.states[0].shape


def names(task, prefix):
    return [f"{prefix}{i}" for i in range(len(task.states))]


def body(task, x, befores, output, afters):
    graph = Graph(task.weights)
    weights = graph.weights()
    pre = task.inputs(graph, Value(graph, x), weights)
    result, states = task.step(graph, pre, [Value(graph, name) for name in befores], weights)
    graph.identity(result, output)
    for state, name in zip(states, afters):
        graph.identity(state, name)
    return graph


def step_model(task):
    """xs [B,I] and states -> output and states."""
    befores, afters = names(task, "state"), names(task, "after")
    graph = body(task, "xs", befores, "output", afters)
    return model_of(graph.nodes, info(["xs", *befores], [task.xs[0], *task.states]),
                    info(["output", *afters], [output_shape(task), *task.states]), graph.initializers)


def scan_model(task):
    befores, afters = names(task, "before"), names(task, "next")
    graph = body(task, "x", befores, "y", afters)
    inner = helper.make_graph(graph.nodes, "body", info([*befores, "x"], [*task.states, task.xs[0]]),
                              info([*afters, "y"], [*task.states, output_shape(task)]))
    states, lasts = names(task, "state"), names(task, "after")
    scan = helper.make_node("Scan", [*states, "xs"], [*lasts, "output"], num_scan_inputs=1, body=inner)
    outputs = (task.xs.shape[0], *output_shape(task))
    return model_of([scan], info(["xs", *states], [task.xs, *task.states]),
                    info(["output", *lasts], [outputs, *task.states]), graph.initializers)


ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}  # ONNX: i o f c; z r h


def layer_model(task):
    """The standard's own op; from zero states, as the gallery's are."""
    order = ORDER[task.cell]
    hidden = task.weights["wh"].shape[0]
    reorder = lambda w: numpy.concatenate([numpy.split(w.T, len(order), 0)[k] for k in order], 0)[None].copy()
    bias = task.weights["bx" if task.cell == "gru" else "b"]
    bias_h = task.weights.get("bh", numpy.zeros_like(bias))
    flat = lambda b: numpy.concatenate([numpy.split(b, len(order))[k] for k in order])
    initializers = {"W": reorder(task.weights["wx"]), "R": reorder(task.weights["wh"]),
                    "B": numpy.concatenate([flat(bias), flat(bias_h)])[None],
                    "shape": numpy.array([task.xs.shape[0], *task.states[0].shape]),
                    "state_shape": numpy.array(task.states[0].shape)}
    attributes = {"linear_before_reset": 1} if task.cell == "gru" else {}
    lasts = names(task, "after")
    nodes = [helper.make_node(task.cell.upper(), ["xs", "W", "R", "B"], ["Y", *(f"Y_{name}" for name in lasts)],
                              hidden_size=hidden, **attributes),
             helper.make_node("Reshape", ["Y", "shape"], ["output"])]
    nodes += [helper.make_node("Reshape", [f"Y_{name}", "state_shape"], [name]) for name in lasts]
    outputs = (task.xs.shape[0], *task.states[0].shape)
    return model_of(nodes, info(["xs"], [task.xs]), info(["output", *lasts], [outputs, *task.states]), initializers)


def feeds(task):
    """Arrays by the names of a model's inputs."""
    return {"xs": task.xs[0] if task.is_step else task.xs} | dict(zip(names(task, "state"), task.states))


def ways(task):
    if task.has_gradients:
        return []
    if task.is_step:
        return ["step"]
    return ["Scan"] + (["layer"] if task.cell in ORDER else [])


def model(way, task):
    return {"step": step_model, "Scan": scan_model, "layer": layer_model}[way](task)
