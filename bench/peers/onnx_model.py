# Writes a cell as an ONNX model: one step, a Scan of it, or the standard's own LSTM, GRU and RNN.
import numpy
from onnx import TensorProto, checker, helper, numpy_helper

from cells import NotThere


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


def layer_tensors(task, weights):
    """W [1,G*H,I], R [1,G*H,H] and B [1,2*G*H] of the standard's op."""
    order = ORDER[task.cell]
    reorder = lambda w: numpy.concatenate([numpy.split(w.T, len(order), 0)[k] for k in order], 0)[None]
    flat = lambda b: numpy.concatenate([numpy.split(b, len(order))[k] for k in order])
    bias = weights["bx" if task.cell == "gru" else "b"]
    bias_h = weights.get("bh", numpy.zeros_like(bias))
    return reorder(weights["wx"]), reorder(weights["wh"]), numpy.concatenate([flat(bias), flat(bias_h)])[None]


def layer_model(task):
    """The standard's own op; from zero states, as the gallery's are. Two layers are two of it."""
    parts = [layer_tensors(task, weights) for weights, _ in task.parts(task.weights, task.states)]
    if task.form == "bidirectional":
        parts = [[numpy.concatenate(both) for both in zip(*parts)]]
    hidden, (steps, batch, _) = task.weights["wh"].shape[0], task.xs.shape
    directions = 2 if task.form == "bidirectional" else 1
    attributes = {"linear_before_reset": 1} if task.cell == "gru" else {}
    attributes |= {"direction": "bidirectional"} if directions == 2 else {}
    kinds = len(task.states) // (2 if task.form else 1)  # of states, of each layer or direction
    lasts, nodes, x = names(task, "after"), [], "xs"
    initializers = {"shape": numpy.array([steps, batch, directions * hidden]), "state_shape": numpy.array([batch, hidden])}
    for layer, tensors in enumerate(parts):
        own = [f"{name}{layer}" for name in ("W", "R", "B")]
        initializers |= {name: numpy.ascontiguousarray(tensor) for name, tensor in zip(own, tensors)}
        ends = [f"Y{layer}_state{kind}" for kind in range(kinds)]
        output = "output" if layer == len(parts) - 1 else f"output{layer}"
        nodes.append(helper.make_node(task.cell.upper(), [x, *own], [f"Y{layer}", *ends], hidden_size=hidden, **attributes))
        by_steps, halves = f"Y{layer}", [[end] for end in ends]
        if directions == 2:
            by_steps = f"Y{layer}_by_steps"  # [T,B,directions,H]
            nodes.append(helper.make_node("Transpose", [f"Y{layer}"], [by_steps], perm=[0, 2, 1, 3]))
            halves = [[f"{end}_there", f"{end}_back"] for end in ends]
            nodes += [helper.make_node("Split", [end], half, axis=0, num_outputs=2) for end, half in zip(ends, halves)]
        nodes.append(helper.make_node("Reshape", [by_steps, "shape"], [output]))
        for kind, half in enumerate(halves):
            for direction, end in enumerate(half):
                after = lasts[(layer + direction) * kinds + kind]
                nodes.append(helper.make_node("Reshape", [end, "state_shape"], [after]))
        x = output
    outputs = (steps, batch, directions * hidden)
    return model_of(nodes, info(["xs"], [task.xs]), info(["output", *lasts], [outputs, *task.states]), initializers)


def feeds(task):
    """Arrays by the names of a model's inputs."""
    return {"xs": task.xs[0] if task.is_step else task.xs} | dict(zip(names(task, "state"), task.states))


def ways(task):
    if task.has_gradients:
        raise NotThere("is for inference only")
    if task.form and task.cell not in ORDER:
        raise NotThere(f"has no op for a {task.form} {task.cell}")
    if task.is_step:
        return ["step"]
    return ([] if task.form else ["Scan"]) + (["layer"] if task.cell in ORDER else [])


def model(way, task):
    return {"step": step_model, "Scan": scan_model, "layer": layer_model}[way](task)
