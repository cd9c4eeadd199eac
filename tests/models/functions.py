"""Plain functions of (params, x) as users write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Function = Callable[..., Any]


def shaped(**shapes: Any) -> Function:
    """An ``init`` of one's own: arrays of these shapes in a tree."""

    def init(key: jax.Array) -> Any:
        leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda v: isinstance(v, tuple))
        keys = jax.random.split(key, len(leaves))
        arrays = [jax.random.normal(k, v) for k, v in zip(keys, leaves, strict=True)]
        return jax.tree.unflatten(tree, arrays)

    return init


def tree_of(init: Function, parameters: dict[str, jax.Array]) -> Any:
    """The Model's weights as the user's own tree."""
    shapes = jax.eval_shape(init, jax.random.key(0))
    leaves, tree = jax.tree_util.tree_flatten_with_path(shapes)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    return jax.tree.unflatten(tree, [parameters[name] for name in names])


def conv(p: Any, x: jax.Array) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, p["w"], (1, 1), "SAME", dimension_numbers=numbers) + p["b"]


def pooled(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


SHAPES: dict[str, Any] = {
    "one": {"w": (3, 3, 3, 4), "b": (4,)},
    "two": {"w": (3, 3, 4, 4), "b": (4,)},
    "out": [(4, 5), (5,)],
}
init = shaped(**SHAPES)


def net(params: Any, x: jax.Array) -> jax.Array:
    x = jax.nn.relu(conv(params["one"], x))
    x = pooled(jnp.maximum(conv(params["two"], x), 0))
    return x.mean((1, 2)) @ params["out"][0] + params["out"][1]


def flat(params: Any, x: jax.Array) -> jax.Array:
    return pooled(conv(params["one"], x)).reshape(x.shape[0], -1) @ params["out"]


def several(params: Any, x: jax.Array) -> Any:
    x = conv(params["one"], x).mean((1, 2))
    return x @ params["out"][0], {"deep": [jnp.tanh(x)]}


def two_outputs() -> Any:
    return init, several
