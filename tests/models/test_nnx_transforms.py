"""Flax nnx networks with scan, remat, vmap and jit inside; taps against perturbed networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.core.spec import InputSpec
from reportgen.models.base import Model

from .networks import X, assert_close, run
from .nnx_modules import Containers, Inner, Regular, conv, module_of

SPEC = InputSpec(height=8, width=8, channels=3, fixed_size=True)

Make = Callable[..., Model]


class Body(nnx.Module):
    """One round of a scan: a layer, and one in a module of its own."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = conv(4, 4, rngs)
        self.inner = Inner(4, 4, rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.norm(self.inner(nnx.relu(self.conv(x))))


class Scanned(nnx.Module):
    remat = False

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = conv(3, 4, rngs)
        self.layers = nnx.vmap(Body)(rngs.split(3))
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        call = nnx.remat(Body.__call__) if self.remat else Body.__call__

        @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        def forward(x: jax.Array, layer: Body) -> jax.Array:
            return call(layer, x)

        return self.head(forward(self.stem(x), self.layers).mean((1, 2)))


class Rematted(Scanned):
    remat = True


class Unrolled(nnx.Module):
    """``Scanned`` by hand."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = conv(3, 4, rngs)
        self.layers = nnx.List([Body(rngs) for _ in range(3)])
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean((1, 2)))


def unrolled(parameters: dict[str, jax.Array]) -> Any:
    one_by_one = {}
    for name, value in parameters.items():
        first, _, rest = name.partition(".")
        if first == "layers":
            one_by_one.update({f"layers.{i}.{rest}": value[i] for i in range(3)})
        else:
            one_by_one[name] = value
    return module_of(Unrolled, one_by_one)


@pytest.mark.parametrize("network", [Scanned, Rematted])
def test_rounds_of_a_scan_are_layers_with_slices_of_its_parameters(
    network: Any, opened_once: Make
) -> None:
    model = opened_once(network)
    module, (logits, activations) = unrolled(model.parameters), run(model, X)
    assert_close(logits, module(X))
    x = module.stem(X)
    for i, body in enumerate(module.layers):
        suffix = f"#{i + 1}" if i else ""
        assert_close(activations[f"layers.conv{suffix}"], body.conv(x))
        x = body(x)
        layer = model.layer(f"layers.conv{suffix}")
        assert (layer.round, layer.flops) == (i, 2 * 64 * 9 * 4 * 4)
        own = model.layer_parameters(layer.path)
        np.testing.assert_array_equal(own["kernel"], body.conv.kernel[...])
    assert sum(layer.parameter_count for layer in model.layers) == model.parameter_count


class Transformed(nnx.Module):
    """nnx.jit and nnx.remat of modules, jax.jit inside, and the whole of it jitted."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.a, self.b, self.c = Inner(3, 4, rngs), Inner(4, 4, rngs), Inner(4, 4, rngs)

    @nnx.jit
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.remat(lambda m, x: m(x))(self.a, x)
        x = nnx.jit(lambda m, x: m(x))(self.b, x)
        graph, state = nnx.split(self.c)
        x = jax.jit(lambda state, x: nnx.merge(graph, state)(x))(state, x)
        return jax.jit(lambda x: x.mean((1, 2)))(x)


def test_layers_in_jit_and_remat_are_found_under_their_own_names(opened_once: Make) -> None:
    model = opened_once(Transformed)
    assert [layer.path for layer in model.layers] == ["a.conv", "a", "b.conv", "b", "c.conv", "c"]
    assert model.flops == 2 * 64 * 9 * (3 * 4 + 4 * 4 + 4 * 4)
    module, (logits, activations) = module_of(Transformed, model.parameters), run(model, X)
    assert_close(logits, module(X))
    x = X
    for name in "abc":
        assert_close(activations[f"{name}.conv"], getattr(module, name).conv(x))
        x = getattr(module, name)(x)
        assert_close(activations[name], x)


class Plus(nnx.Module):
    """A module whose output is moved, in one of its calls."""

    def __init__(self, inner: Any, step: jax.Array, turn: int) -> None:
        self.inner, self.step, self.turn, self.calls = inner, nnx.data(step), turn, 0

    def __call__(self, *args: Any) -> jax.Array:
        self.calls += 1
        output: jax.Array = self.inner(*args)
        return output + self.step if self.calls == self.turn else output


@pytest.mark.parametrize(
    ("network", "path", "place", "turn"),
    [
        (Containers, "first", "first", 1),
        (Containers, "first#3", "first", 3),
        (Containers, "blocks.0", "blocks.0", 1),
        (Regular, "norm", "norm", 1),
        (Scanned, "layers.conv", "layers.0.conv", 1),
        (Scanned, "layers.inner.conv#3", "layers.2.inner.conv", 1),
        (Rematted, "layers.norm#2", "layers.1.norm", 1),
    ],
)
def test_a_tap_is_what_perturbing_the_layer_by_hand_gives(
    network: Any, path: str, place: str, turn: int, opened_once: Make
) -> None:
    model = opened_once(network)
    step = jnp.asarray(np.random.default_rng(5).normal(0, 0.1, (2, 8, 8, 4)), jnp.float32)
    by_hand = unrolled if issubclass(network, Scanned) else lambda p: module_of(network, p)
    module = by_hand(model.parameters)
    *above, last = place.split(".")
    holder = module
    for part in above:
        holder = holder[int(part)] if part.isdigit() else getattr(holder, part)
    layer = holder[int(last)] if last.isdigit() else getattr(holder, last)
    moved = Plus(layer, step, turn)
    if last.isdigit():
        holder[int(last)] = moved
    else:
        setattr(holder, last, moved)
        if place == "first":
            holder.second = moved
    logits = run(model, X, {path: step})[0]
    assert_close(logits, module(X))
    assert np.abs(logits - run(model, X)[0]).max() > 1e-4
