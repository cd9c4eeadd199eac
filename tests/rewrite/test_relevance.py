"""Every rule, and every way that relevance takes, against NumPy loops over the definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from .relevances import RULES, conv, matrix, product, relevance, stable


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def close(found: Any, expected: np.ndarray) -> None:
    assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max()


def convolved(x: Any, kernel: Any, groups: int = 1) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=numbers, feature_group_count=groups
    )


def pooled(x: Any, how: str) -> jax.Array:
    size = (1, 2, 2, 1)
    if how == "max":
        return lax.reduce_window(x, -jnp.inf, lax.max, size, size, "VALID")
    return lax.reduce_window(x, 0.0, lax.add, size, size, "VALID") / 4


@pytest.mark.parametrize("name", RULES)
def test_a_whole_network(name: str, rng: np.random.Generator) -> None:
    """Convolution, batch norm, both pools, a skip, concatenation, flatten, mean, dense layers."""
    k1, k2 = rng.normal(size=(3, 3, 2, 3)), rng.normal(size=(1, 1, 3, 3))
    w1, w2 = rng.normal(size=(24, 5)), rng.normal(size=(11, 4))
    b1, b2, b3, b4 = (rng.normal(size=size) for size in (3, 3, 5, 4))
    scale, shift = np.array([0.7, -1.3, 2.0]), np.array([0.4, -0.2, 0.1])
    mean, deviation = np.array([0.3, -0.5, 0.2]), np.array([1.5, 0.8, 2.5])
    x = rng.normal(size=(10, 10, 2))

    def network(x: jax.Array) -> jax.Array:
        x = convolved(x, k1) + b1
        x = jax.nn.relu((x - mean) * (scale / deviation) + shift)
        h = pooled(x, "max")
        s = jax.nn.relu(convolved(h, k2) + b2) + h
        c = pooled(jnp.concatenate([s, h], axis=-1), "average")
        d = jax.nn.relu(c.reshape(1, -1) @ w1 + b3)
        return jnp.concatenate([d, c.mean(axis=(1, 2))], axis=-1) @ w2 + b4

    found, score = relevance(network, x[None], name, unit=2)

    merged = k1 * scale / deviation
    shifted = (b1 - mean) * scale / deviation + shift
    z1 = (x.reshape(-1) @ matrix(merged, 10, 10)).reshape(8, 8, 3) + shifted
    windows = np.maximum(z1, 0).reshape(4, 2, 4, 2, 3).transpose(0, 2, 4, 1, 3).reshape(4, 4, 3, 4)
    h = windows.max(axis=-1)
    a = np.maximum(h @ k2[0, 0] + b2, 0)
    s = a + h
    before = np.concatenate([s, h], axis=-1)
    c = before.reshape(2, 2, 2, 2, 6).mean(axis=(1, 3))
    z3 = c.reshape(-1) @ w1 + b3
    d = np.maximum(z3, 0)
    last = np.concatenate([d, c.mean(axis=(0, 1))])
    scores = last @ w2 + b4
    np.testing.assert_allclose(score[0], scores[2])

    r = product(last, w2, b4, scores * np.eye(4)[2], name)
    r_c = product(c.reshape(-1), w1, b3, r[:5], name).reshape(2, 2, 6)
    r_c += c * r[5:] / stable(c.sum(axis=(0, 1)))
    whole = c * 4
    r_before = before * (r_c / stable(whole)).repeat(2, axis=0).repeat(2, axis=1)
    r_s, r_h = r_before[..., :3], r_before[..., 3:].copy()
    r_h += h * r_s / stable(s)
    r_h += conv(h, k2, b2, a * r_s / stable(s), name)
    r_windows = np.where(np.arange(4) == windows.argmax(axis=-1)[..., None], r_h[..., None], 0)
    r_z1 = r_windows.reshape(4, 4, 3, 2, 2).transpose(0, 3, 1, 4, 2).reshape(8, 8, 3)
    close(found[0], conv(x, merged, shifted, r_z1, name))


@pytest.mark.parametrize(
    ("name", "groups"), [*((name, 2) for name in RULES), ("z_plus", 1), ("alpha_beta", 4)]
)
def test_a_batch_norm_is_merged_into_a_convolution_of_groups(
    name: str, groups: int, rng: np.random.Generator
) -> None:
    """One group, two, and as many as channels (depthwise); the scales have both signs."""
    kernel, b = rng.normal(size=(3, 2, 4 // groups, 8)), rng.normal(size=8)
    scale, shift = rng.normal(size=8), rng.normal(size=8)
    x = rng.normal(size=(5, 4, 4))

    def network(x: jax.Array) -> jax.Array:
        return ((convolved(x, kernel, groups) + b) * scale + shift).reshape(1, -1)

    found, score = relevance(network, x[None], name, unit=19)
    r = np.zeros(3 * 3 * 8)
    r[19] = score[0]
    expected = conv(x, kernel * scale, b * scale + shift, r.reshape(3, 3, 8), name, groups)
    close(found[0], expected)


@pytest.mark.parametrize("name", ["gamma"])
@pytest.mark.parametrize("written", ["flax", "divided", "by hand", "keras", "channels first"])
def test_a_batch_norm_in_any_notation_is_merged(
    name: str, written: str, rng: np.random.Generator
) -> None:
    kernel, b = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=4)
    scale, shift, mean = (rng.normal(size=4) for _ in range(3))
    var = rng.uniform(0.5, 2, size=4)
    x, head = rng.normal(size=(1, 5, 5, 2)), rng.normal(size=(36, 3))

    def network(x: jax.Array) -> jax.Array:
        y = convolved(x, kernel) + b
        if written == "flax":
            y = (y - mean) * (lax.rsqrt(jnp.asarray(var)) * scale) + shift
        elif written == "divided":
            y = (y - mean) / np.sqrt(var) * scale + shift
        elif written == "keras":
            y = y * (scale / np.sqrt(var)) + (shift - mean * scale / np.sqrt(var))
        elif written == "channels first":
            numbers = ("NCHW", "OIHW", "NCHW")
            y = lax.conv_general_dilated(
                x.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), (1, 1), "VALID",
                dimension_numbers=numbers,
            )  # fmt: skip
            each = (slice(None), None, None)
            y = (y + b[each] - mean[each]) / np.sqrt(var)[each] * scale[each] + shift[each]
            y = y.transpose(0, 2, 3, 1)
        else:
            y = shift + scale * ((y - mean) / np.sqrt(var))
        return jax.nn.relu(y).reshape(1, -1) @ head

    def merged(x: jax.Array) -> jax.Array:
        factor = scale / np.sqrt(var)
        y = convolved(x, kernel * factor) + ((b - mean) * factor + shift)
        return jax.nn.relu(y).reshape(1, -1) @ head

    found, _ = relevance(network, x, name)
    close(found, relevance(merged, x, name)[0])


@pytest.mark.parametrize("name", ["z_plus"])
def test_a_small_scale_beside_a_large_shift_is_exact(name: str, rng: np.random.Generator) -> None:
    """The scale is not found as a difference of large numbers."""
    kernel, x = rng.normal(size=(1, 1, 2, 3)), rng.normal(size=(1, 2, 2, 2))
    scale, shift = np.array([1e-9, -2e-9, 3e-9]), np.array([50.0, 60.0, -70.0])
    found, score = relevance(
        lambda x: (convolved(x, kernel) * scale + shift).reshape(1, -1), x, name
    )
    r = np.zeros((2, 2, 3))
    r[0, 0, 0] = score[0]
    close(found[0], conv(x[0], kernel * scale, shift, r, name))


@pytest.mark.parametrize("name", ["gamma"])
@pytest.mark.parametrize("side", ["left", "right", "several axes", "no batch axis first"])
def test_matrix_products_however_they_are_written(
    name: str, side: str, rng: np.random.Generator
) -> None:
    """Weights on the left, and dense layers with several axes of outputs (nnx.LinearGeneral)."""
    w, b = rng.normal(size=(5, 6)), rng.normal(size=6)
    scale = rng.normal(size=6)
    x = rng.normal(size=(2, 5))

    def network(x: jax.Array) -> jax.Array:
        if side == "left":
            return (lax.dot_general(w, x, (((0,), (1,)), ((), ()))) * scale[:, None] + b[:, None]).T
        if side == "several axes":
            y = jnp.tensordot(x, w.reshape(5, 2, 3) * scale.reshape(2, 3), 1) + b.reshape(2, 3)
            return y.reshape(2, 6)
        if side == "no batch axis first":
            return (jnp.einsum("io,in->on", w, x.T) * scale[:, None] + b[:, None]).T
        return (x @ w) * scale + b

    found, score = relevance(network, x, name, unit=4)
    for row in range(2):
        expected = product(x[row], w * scale, b, score[row] * np.eye(6)[4], name)
        close(found[row], expected)


@pytest.mark.parametrize("name", ["gamma"])
def test_a_transposed_convolution(name: str, rng: np.random.Generator) -> None:
    kernel, scale = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=4)
    x = rng.normal(size=(1, 3, 3, 2))

    def plain(x: jax.Array) -> jax.Array:
        y = lax.conv_transpose(
            x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return (y * scale).reshape(1, -1)

    w = np.asarray(jax.jit(jax.vmap(plain))(np.eye(18).reshape(18, *x.shape))).reshape(18, -1)
    for unit in (50, 101):
        found, score = relevance(plain, x, name, unit=unit)
        r = np.zeros(w.shape[1])
        r[unit] = score[0]
        expected = product(x.reshape(-1), w, np.zeros_like(r), r, name)
        close(found.reshape(-1), expected)


@pytest.mark.parametrize("name", ["z_plus"])
def test_leaky_rectifiers_and_their_kin_pass_relevance_on(
    name: str, rng: np.random.Generator
) -> None:
    """One image for each function, all in one program."""
    w1, w2, slopes = rng.normal(size=(6, 9)), rng.normal(size=(9, 3)), rng.uniform(size=9)
    functions: list[Any] = [
        jax.nn.leaky_relu,
        jax.nn.relu6,
        jax.nn.gelu,
        lambda z: jax.nn.gelu(z, approximate=False),
        jax.nn.silu,
        jax.nn.elu,
        jax.nn.softplus,
        jax.nn.hard_swish,
        jax.nn.mish,
        jax.nn.soft_sign,
        jnp.tanh,
        lambda z: jnp.where(z >= 0, z, slopes * z),  # PReLU
        lambda z: jnp.maximum(z, 0) + slopes * jnp.minimum(z, 0),
        lambda z: z * (z > 0),
    ]
    x = rng.normal(size=(len(functions), 6))

    def network(x: jax.Array) -> jax.Array:
        return jnp.concatenate([f(x[i : i + 1] @ w1) for i, f in enumerate(functions)]) @ w2

    found, score = relevance(network, x, name, unit=1)
    inside = jax.jit(lambda z: [f(z[i]) for i, f in enumerate(functions)])(x @ w1)
    for i, function in enumerate(functions):
        hidden = np.asarray(inside[i])
        r = product(hidden, w2, np.zeros(3), score[i] * np.eye(3)[1], name)
        expected = product(x[i], w1, np.zeros(9), r, name)
        assert np.abs(found[i] - expected).max() < 1e-5 * np.abs(expected).max(), function


@pytest.mark.parametrize("name", ["z_plus"])
def test_the_input_normalised_inside_keeps_its_relevance(
    name: str, rng: np.random.Generator
) -> None:
    kernel, b = rng.normal(size=(3, 3, 3, 2)), rng.normal(size=2)
    x = rng.uniform(0, 255, size=(2, 4, 4, 3))
    mean, deviation = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.25])

    def network(x: jax.Array) -> jax.Array:
        return (convolved(x, kernel) + b).reshape(2, -1)

    inside, score = relevance(lambda x: network((x / 255 - mean) / deviation), x, name)
    outside, same = relevance(network, (x / 255 - mean) / deviation, name)
    np.testing.assert_allclose(score, same)
    close(inside, outside)


def test_gates_take_no_relevance(rng: np.random.Generator) -> None:
    """Squeeze and excite: the gate is as good as a constant, whatever opens it."""
    w, gating, head = rng.normal(size=(4, 5)), rng.normal(size=(5, 5)), rng.normal(size=(5, 3))
    x = rng.normal(size=(1, 6, 4))
    gates: list[Any] = [
        jax.nn.sigmoid,
        jax.nn.hard_sigmoid,
        jax.nn.softmax,
        lambda z: 0.5 * (jnp.tanh(z / 2) + 1),
        lambda z: 1 / (1 + jnp.exp(-z)),
    ]
    for gate in gates:

        def network(x: jax.Array, fixed: Any = None, gate: Any = gate) -> jax.Array:
            y = jax.nn.silu(x @ w)
            opened = gate(y.mean(axis=1) @ gating) if fixed is None else fixed
            return (y * opened[:, None]).mean(axis=1) @ head

        fixed = np.asarray(
            jax.jit(lambda x, gate=gate: gate(jax.nn.silu(x @ w).mean(axis=1) @ gating))(x)
        )
        found, _ = relevance(network, x, "epsilon")
        close(found, relevance(lambda x, f=fixed, n=network: n(x, f), x, "epsilon")[0])


def test_local_response_normalisation_is_a_gate(rng: np.random.Generator) -> None:
    from reportgen.models.zoo.layers import LRN

    kernel, head = rng.normal(size=(3, 3, 2, 7)), rng.normal(size=(63, 3))
    x, norm = rng.normal(size=(1, 5, 5, 2)), LRN(alpha=2.0)

    @jax.jit
    def factors(x: jax.Array) -> jax.Array:
        y = jax.nn.relu(convolved(x, kernel))
        return norm(y) / jnp.where(y == 0, 1, y)

    factor = np.asarray(factors(x))
    found, _ = relevance(
        lambda x: norm(jax.nn.relu(convolved(x, kernel))).reshape(1, -1) @ head, x, "z_plus"
    )
    expected, _ = relevance(
        lambda x: (jax.nn.relu(convolved(x, kernel)) * factor).reshape(1, -1) @ head, x, "z_plus"
    )
    close(found, expected)


def test_attention_takes_its_weights_as_constants(rng: np.random.Generator) -> None:
    q, k, v = (rng.normal(size=(4, 6)) for _ in range(3))
    head, x = rng.normal(size=(6, 3)), rng.normal(size=(2, 5, 4))

    def weights(x: Any) -> jax.Array:
        return jax.nn.softmax((x @ q) @ jnp.swapaxes(x @ k, 1, 2) / 6**0.5)

    fixed = np.asarray(jax.jit(weights)(x))
    found, _ = relevance(lambda x: (weights(x) @ (x @ v)).mean(axis=1) @ head, x, "epsilon")
    expected, _ = relevance(lambda x: (fixed @ (x @ v)).mean(axis=1) @ head, x, "epsilon")
    close(found, expected)


def test_a_product_of_two_signals_goes_half_to_each(rng: np.random.Generator) -> None:
    """Attention without softmax: (x q)(x k)ᵀ, every term's relevance is halved between its two."""
    q, k = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    x = rng.normal(size=(1, 2, 4))
    found, score = relevance(
        lambda x: ((x @ q) @ jnp.swapaxes(x @ k, 1, 2)).reshape(1, 4), x, "epsilon", unit=1
    )
    a, b = x[0, 0] @ q, x[0, 1] @ k
    r = a * b / 2 * score[0] / stable(a @ b)
    close(found[0, 0], product(x[0, 0], q, np.zeros(6), r, "epsilon"))
    close(found[0, 1], product(x[0, 1], k, np.zeros(6), r, "epsilon"))


def test_a_lonely_shift_absorbs_its_share(rng: np.random.Generator) -> None:
    w, x, shift = rng.normal(size=(4, 3)), rng.normal(size=(1, 4)), rng.normal(size=3)
    for sign in (1, -1):

        def network(x: jax.Array, sign: int = sign) -> jax.Array:
            y = jax.nn.silu(x @ w)
            return y + shift if sign == 1 else shift - y

        found, score = relevance(network, x, "epsilon", unit=2)
        z = x[0] @ w
        given = sign * z / (1 + np.exp(-z))
        r = given * score[0] / stable(given + shift) * np.eye(3)[2]
        close(found[0], product(x[0], w, np.zeros(3), r, "epsilon"))
