# jax: scan under jit, with the products of the input in the loop or hoisted out of it by hand.
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax
import jax.numpy as jnp

VERSION = jax.__version__


def use_threads(count):
    """XLA takes as many threads as the process has cores; the driver pins the process."""


class Ops:
    matmul, sigmoid, tanh, relu = staticmethod(jnp.matmul), jax.nn.sigmoid, staticmethod(jnp.tanh), jax.nn.relu

    @staticmethod
    def split(x, parts):
        return jnp.split(x, parts, -1)

    @staticmethod
    def layer_norm(x, gamma, beta):
        centred = x - x.mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5) * gamma + beta


def ways(task):
    if task.is_step:
        return ["jit"] if task.has_gradients else ["jit", "jit_constant_weights"]
    return ["scan", "scan_hoisted"]


def over_sequence(task, hoists, weights, states, xs, reverse=False):
    def body(carry, x):
        output, after = task.step(Ops, x if hoists else task.inputs(Ops, x, weights), carry, weights)
        return after, output
    after, outputs = jax.lax.scan(body, states, task.inputs(Ops, xs, weights) if hoists else xs, reverse=reverse)
    return outputs, after


def make(way, task):
    def forward(weights, states, xs):
        if task.is_step:
            return task.step(Ops, task.inputs(Ops, xs[0], weights), states, weights)
        (first, *second), hoists = task.parts(weights, states), way == "scan_hoisted"
        outputs, after = over_sequence(task, hoists, *first, xs)
        if not second:
            return outputs, after
        if task.form == "stacked":
            outputs, more = over_sequence(task, hoists, *second[0], outputs)
        else:
            back, more = over_sequence(task, hoists, *second[0], xs, reverse=True)
            outputs = jnp.concatenate([outputs, back], -1)
        return outputs, after + more
    weights, states = jax.device_put(task.weights), [jax.device_put(state) for state in task.states]
    xs = jax.device_put(task.xs)
    names = list(task.weights)
    if not task.has_gradients:
        if way == "jit_constant_weights":
            constant = jax.jit(lambda states, xs: forward(task.weights, states, xs))
            compiled = lambda weights, states, xs: constant(states, xs)
        else:
            compiled = jax.jit(forward)

        def infer():
            outputs, after = jax.block_until_ready(compiled(weights, states, xs))
            return [outputs, *after]
        return infer
    which = (0, 1, 2) if task.is_step else (0, 2) if task.wants_dx else (0,)
    compiled = jax.jit(jax.value_and_grad(lambda *arguments: forward(*arguments)[0].sum(), which))

    def train():
        loss, gradients = jax.block_until_ready(compiled(weights, states, xs))
        rest = [*gradients[1], gradients[2]] if task.is_step else gradients[1:]
        return [loss, *(gradients[0][name] for name in names), *rest]
    return train
