"""A small network with every kind of layer whose weights differ between frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from reportgen.models.weights.load import Naming
from tests.at_once import at_once
from tests.models.nnx_modules import module_of

SIZE = 6
MAP = (4, 4, 8)  # what ``fc`` gets flattened
NAMING = Naming(
    published={
        "torchvision": {
            "conv": "features.0",
            "bn": "features.1",
            "dw": "features.3",
            "fc": "classifier.1",
        },
        "keras": {"conv": "block1_conv", "bn": "block1_bn", "dw": "block1_dw", "fc": "predictions"},
        "caffe": {"conv": "conv1", "bn": "bn_conv1", "dw": "conv2/dw", "fc": "ip1"},
    },
    flattened={"fc": MAP},
    ignored=("AuxLogits.*",),
)
OWN = Naming({}, {}, ())


class Small(nnx.Module):
    """(N, 6, 6, 3) to (N, classes): 3x3, batch norm, depthwise 3x3 of two a channel, dense."""

    def __init__(self, rngs: nnx.Rngs, classes: int = 5) -> None:
        self.conv = nnx.Conv(3, 4, (3, 3), padding=1, rngs=rngs)
        self.bn = nnx.BatchNorm(4, epsilon=1e-3, rngs=rngs)
        self.dw = nnx.Conv(4, 8, (3, 3), padding=0, feature_group_count=4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.fc = nnx.Linear(4 * 4 * 8, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.dw(nnx.relu(self.bn(self.conv(x))))
        return self.fc(self.drop(x.reshape(x.shape[0], -1)))


@cache
def _initial(classes: int) -> Small:
    made: Small = nnx.jit(lambda: Small(nnx.Rngs(0), classes))()
    return made


def build(classes: int = 5) -> Small:
    """The network with random weights and random, positive statistics."""
    module = nnx.clone(_initial(classes))
    draw = np.random.default_rng(1)
    module.bn.mean[...] = jnp.asarray(draw.normal(size=4).astype(np.float32))
    module.bn.var[...] = jnp.asarray(draw.uniform(0.5, 2, size=4).astype(np.float32))
    module.bn.scale[...] = jnp.asarray(draw.uniform(0.5, 2, size=4).astype(np.float32))
    for layer in (module.conv, module.bn, module.dw, module.fc):
        layer.bias[...] = jnp.asarray(draw.normal(size=layer.bias.shape).astype(np.float32))
    return module


def values(module: nnx.Module) -> dict[str, np.ndarray]:
    """Its parameters by dotted name."""
    state = nnx.state(module, nnx.Not(nnx.RngState))
    return {
        ".".join(map(str, path)): np.asarray(leaf.get_value())
        for path, leaf in nnx.to_flat_state(state)
    }


def shapes_of(parameters: Mapping[str, Any]) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: jax.ShapeDtypeStruct(v.shape, v.dtype) for name, v in parameters.items()}


def logits(parameters: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """The network's answer with these parameters, in evaluation mode."""

    def run(parameters: Mapping[str, Any], x: jax.Array) -> jax.Array:
        return module_of(lambda rngs: Small(rngs), parameters)(x)

    return np.asarray(at_once(run, dict(parameters), x))


def images() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(3, SIZE, SIZE, 3)).astype(np.float32)


def equal(found: Mapping[str, Any], expected: Mapping[str, np.ndarray]) -> None:
    """Every parameter is there, of the network's type, and no bit differs."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_array_equal(np.asarray(found[name]), value, err_msg=name)
