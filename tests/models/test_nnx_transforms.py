"""Flax nnx networks with scan, remat, vmap and jit inside; taps against perturbed networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from reportgen.core.spec import InputSpec
from reportgen.models.base import Model
from tests.at_once import at_once

from .networks import X, assert_close, beside
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

    def own(parameters: dict[str, jax.Array], x: jax.Array) -> Any:
        module, convs = unrolled(parameters), []
        y = module.stem(x)
        for body in module.layers:
            convs.append(body.conv(y))
            y = body(y)
        return module(x), convs

    (logits, activations), (expected, convs) = beside(model, own)
    assert_close(logits, expected)
    for i, conv_output in enumerate(convs):
        suffix = f"#{i + 1}" if i else ""
        assert_close(activations[f"layers.conv{suffix}"], conv_output)
        layer = model.layer(f"layers.conv{suffix}")
        assert (layer.round, layer.flops) == (i, 2 * 64 * 9 * 4 * 4)
        kernels = model.layer_parameters(layer.path)
        stacked = model.parameters["layers.conv.kernel"]
        np.testing.assert_array_equal(kernels["kernel"], np.asarray(stacked)[i])
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

    def own(parameters: dict[str, jax.Array], x: jax.Array) -> Any:
        module, kept, y = module_of(Transformed, parameters), {}, x
        for name in "abc":
            kept[f"{name}.conv"] = getattr(module, name).conv(y)
            kept[name] = y = getattr(module, name)(y)
        return module(x), kept

    (logits, activations), (expected, kept) = beside(model, own)
    assert_close(logits, expected)
    for path, output in kept.items():
        assert_close(activations[path], output)


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
    step = np.random.default_rng(5).normal(0, 0.1, (2, 8, 8, 4)).astype(np.float32)
    by_hand = unrolled if issubclass(network, Scanned) else lambda p: module_of(network, p)
    *above, last = place.split(".")

    def all_of_it(model: Model, x: jax.Array, step: jax.Array) -> Any:
        module = by_hand(model.parameters)
        holder = module
        for part in above:
            holder = holder[int(part)] if part.isdigit() else getattr(holder, part)
        if last.isdigit():
            holder[int(last)] = Plus(holder[int(last)], step, turn)
        else:
            setattr(holder, last, Plus(getattr(holder, last), step, turn))
            if place == "first":
                holder.second = holder.first
        return model.apply(x)[0], model.apply(x, {path: step})[0], module(x)

    unmoved, logits, expected = at_once(all_of_it, model, X, step)
    assert_close(logits, expected)
    assert np.abs(logits - unmoved).max() > 1e-4
