"""The pieces of the general ascent, each against NumPy, SciPy, Optax or the peer's formula."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from reportgen.methods.synthesis import colour, fourier, maco, objectives, views
from reportgen.methods.synthesis.optimisers import ascending
from reportgen.methods.synthesis.redirected import redirected
from reportgen.methods.synthesis.regularisers import absolute_variation, keras_vis_norm
from reportgen.methods.synthesis.transforms import sample

RNG = np.random.default_rng(0)


def test_colours_are_lucid_s() -> None:
    # Xplique writes the same matrix out, transposed.
    written = [
        [0.56282854, 0.58447580, 0.58447580],
        [0.19482528, 0.0, -0.19482528],
        [0.04329450, -0.10823626, 0.06494176],
    ]
    np.testing.assert_allclose(colour.CORRELATION.T, written, atol=1e-7)
    x = RNG.normal(size=(2, 3, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(colour.correlate(x), x @ np.array(written), atol=1e-6)
    np.testing.assert_allclose(colour.decorrelate(colour.correlate(x)), x, atol=1e-4)
    np.testing.assert_array_equal(colour.correlate(x[..., :1]), x[..., :1])


@pytest.mark.parametrize("shape", [(6, 8, 3), (7, 5, 3), (8, 9, 1)])
def test_fourier_pictures_by_hand(shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    parts = RNG.normal(size=(1, 2, channels, height, width // 2 + 1)).astype(np.float32)
    spectrum = parts[0, 0] + 1j * parts[0, 1]
    for i in range(height):
        for j in range(width // 2 + 1):
            rows = min(i, height - i) / height
            frequency = np.sqrt(rows**2 + (j / width) ** 2)
            factor = np.sqrt(width * height) / max(frequency, 1 / max(width, height))
            spectrum[:, i, j] *= factor
    waves = np.stack([np.fft.irfft2(plane, s=(height, width)) for plane in spectrum], -1) / 4
    if channels == 3:
        waves = waves @ colour.CORRELATION.T
    expected = 255 / (1 + np.exp(-waves))
    made = jax.jit(fourier.pictures, static_argnums=1)(parts, shape)
    np.testing.assert_allclose(made[0], expected, atol=2e-2)


def test_fourier_starts_near_grey_and_its_gradient_is_right() -> None:
    shape = (16, 16, 3)
    first = np.asarray(jax.jit(fourier.begin, static_argnums=1)(jax.random.key(0), shape))
    np.testing.assert_allclose(first.std(), 0.01, rtol=0.05)
    weights = RNG.normal(size=shape).astype(np.float32)

    def pictures(parts: jax.Array) -> jax.Array:
        return fourier.pictures(parts[None], shape)[0]

    assert np.abs(_checked_gradient(pictures, weights, first, 1e-3) - 127.5).max() < 15


def _checked_gradient(
    made: Callable[[jax.Array], jax.Array],
    weights: np.ndarray,
    at: np.ndarray,
    step: float,
    rtol: float = 2e-2,
) -> np.ndarray:
    """What is made; its slope along a random direction is that of differences of both sides."""
    direction = RNG.normal(size=at.shape).astype(np.float32)

    @jax.jit
    def run(at: jax.Array) -> Any:
        out, back = jax.vjp(made, at)
        return out, back(jnp.asarray(weights))[0]

    out, gradient = run(at)
    ahead, behind = ((weights * run(at + sign * step * direction)[0]).sum() for sign in (1, -1))
    slope = (np.asarray(gradient, np.float64) * direction).sum()
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=rtol)
    return np.asarray(out)


def test_maco_pictures_by_hand() -> None:
    shape = (6, 8, 3)
    images = RNG.uniform(0, 255, (3, *shape)).astype(np.float32)
    inverse = np.linalg.inv(colour.CORRELATION)
    planes = np.moveaxis(images / 255 @ inverse.T, -1, 1)
    mean = np.abs(np.fft.rfft2(planes)).mean(axis=0)
    magnitude = maco.magnitude(images, 6, 8)
    np.testing.assert_allclose(magnitude, mean, rtol=2e-3, atol=1e-3)

    phases = RNG.normal(size=(2, 3, 6, 5)).astype(np.float32)
    weights = np.stack([images[0]] * 2) * np.float32([1, 0])[:, None, None, None]
    made = _checked_gradient(lambda p: maco.pictures(p, magnitude, shape), weights, phases, 1e-2)
    for phase, picture in zip(phases, made, strict=True):
        phase = (phase - phase.mean()) / (phase.std() + 1e-5)
        waves = np.fft.irfft2(mean * np.exp(1j * phase), s=(6, 8)).transpose(1, 2, 0)
        waves = (waves - waves.mean()) / (waves.std() + 1e-5)
        expected = 255 / (1 + np.exp(-waves @ colour.CORRELATION.T))
        np.testing.assert_allclose(picture, expected, atol=0.2)


def test_magnitudes_of_another_size() -> None:
    assert maco.magnitude(np.ones((2, 8, 8, 1), np.float32), 12, 10).shape == (1, 12, 6)


PICTURE = RNG.uniform(0, 255, (12, 10, 3)).astype(np.float32)


@partial(jax.jit, static_argnames=("size", "wrap"))
def _seen(picture: Any, parts: Any, size: tuple[int, int], wrap: bool) -> jax.Array:
    before, factor, degrees, after = parts
    maps = views.affine(before, factor, jnp.deg2rad(degrees), after)
    return sample(picture[None], maps[None], size, wrap=wrap)[0, 0]


def _view(
    picture: np.ndarray,
    size: tuple[int, int],
    *,
    before: tuple[int, int] = (0, 0),
    factor: float = 1.0,
    degrees: float = 0.0,
    after: tuple[int, int] = (0, 0),
    wrap: bool = False,
) -> np.ndarray:
    parts = [np.asarray([part], np.float32) for part in (before, factor, degrees, after)]
    return np.asarray(_seen(picture, parts, size, wrap))


def test_a_padded_shifted_view_is_an_exact_crop() -> None:
    padded = np.pad(PICTURE, ((5, 5), (5, 5), (0, 0)), constant_values=127.5)
    # Down by 2 and left by 1: what was at (r, c) is now at (r + 2, c - 1).
    seen = _view(PICTURE, (14, 12), before=(2, -1))
    np.testing.assert_array_equal(seen, padded[4 - 2 : 18 - 2, 4 + 1 : 16 + 1])
    both = _view(PICTURE, (14, 12), before=(1, 0), after=(1, -1))
    np.testing.assert_array_equal(both, seen)
    np.testing.assert_array_equal(
        _view(PICTURE, (12, 10), before=(3, -2), wrap=True), np.roll(PICTURE, (3, -2), (0, 1))
    )


@pytest.mark.parametrize("factor", [0.9, 1.1, 2.0])
def test_zoom_is_scipy_s_around_the_centre(factor: float) -> None:
    """Half a pixel matters: the centre of the picture stays where it is."""
    seen = _view(PICTURE, (12, 10), factor=factor)
    centre = np.array([5.5, 4.5])
    for channel in range(3):
        expected = ndimage.affine_transform(
            PICTURE[..., channel],
            np.eye(2) / factor,
            centre - centre / factor,
            order=1,
            mode="grid-constant",
            cval=127.5,
        )
        np.testing.assert_allclose(seen[..., channel], expected, atol=1e-2)


@pytest.mark.parametrize("degrees", [-10.0, 7.0, 90.0])
@pytest.mark.parametrize("wrap", [False, True])
def test_turning_is_scipy_s_rotate(degrees: float, wrap: bool) -> None:
    seen = _view(PICTURE, (12, 10), degrees=degrees, wrap=wrap)
    expected = ndimage.rotate(
        PICTURE,
        degrees,
        reshape=False,
        order=1,
        mode="grid-wrap" if wrap else "grid-constant",
        cval=127.5,
    )
    np.testing.assert_allclose(seen, expected, atol=2e-2)


def test_the_gradient_of_a_view() -> None:
    drawn = jax.jit(lambda key: views.drawn(key, 1, jitter=(2, 1), zoom=(1.1,), rotate=(8.0,)))
    maps = np.asarray(drawn(jax.random.key(0)))
    weights = RNG.normal(size=(1, 1, 14, 12, 3)).astype(np.float32)
    seen = partial(sample, maps=maps, size=(14, 12), wrap=False)
    _checked_gradient(seen, weights, PICTURE[None], 1.0, 2e-3)


def test_drawn_views_cover_what_they_are_drawn_from() -> None:
    drawn = partial(views.drawn, jitter=(2, 0), zoom=(0.5, 2.0), rotate=(0.0, 90.0))
    maps = np.asarray(jax.jit(drawn, static_argnums=1)(jax.random.key(1), 600))
    assert maps.shape == (600, 1, 2, 3)
    assert set(np.unique(maps[..., 2])) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    scale = np.sqrt(np.abs(np.linalg.det(maps[:, 0, :, :2])))
    np.testing.assert_allclose(np.unique(scale.round(5)), [0.5, 2.0])
    assert 0.4 < (scale > 1).mean() < 0.6
    turned = np.abs(maps[:, 0, 0, 1]) > 0.1
    assert 0.4 < turned.mean() < 0.6
    # Lucid's 128 pixels, padded by 12, less 8 and 4.
    assert views.canvas(128, 12, (4, 2)) == 140
    assert views.canvas(128, 0, (4, 2)) == 128


def test_crops_shrink_from_half_to_a_twentieth() -> None:
    drawn = jax.jit(views.crops, static_argnums=(1, 2, 3, 4, 5))
    maps = np.asarray(drawn(jax.random.key(2), 50, 200, (0.5, 0.05), (60, 40), (20, 20)))
    assert maps.shape == (50, 200, 2, 3)
    # A crop of the whole picture would step 3 rows and 2 columns at a time.
    sides = maps[..., 0, 0] / 3
    np.testing.assert_allclose(maps[..., 1, 1] / 2, sides, rtol=1e-5)
    np.testing.assert_allclose(sides[0].mean(), 0.5, atol=0.02)
    np.testing.assert_allclose(sides[0].std(), 0.05, atol=0.01)
    assert sides[-1].min() == pytest.approx(0.05)
    centres = maps[..., 2] / [60, 40]
    np.testing.assert_allclose(centres.mean(axis=(0, 1)), 0, atol=0.01)
    np.testing.assert_allclose(centres.std(axis=(0, 1)), 0.15, atol=0.01)


def test_regularisers() -> None:
    x = RNG.normal(size=(2, 5, 4, 3))
    down = np.abs(x[:, 1:] - x[:, :-1]).sum(axis=(1, 2, 3))
    right = np.abs(x[:, :, 1:] - x[:, :, :-1]).sum(axis=(1, 2, 3))
    found = jax.jit(lambda x: (absolute_variation(x), keras_vis_norm(x, 6.0)))(np.float32(x))
    np.testing.assert_allclose(found[0], (down + right) / 60, rtol=1e-5)
    norm = (np.abs(x) ** 6).sum(axis=(1, 2, 3)) ** (1 / 6) / 60
    np.testing.assert_allclose(found[1], norm, rtol=1e-5)


def test_neuron_and_direction() -> None:
    a = RNG.normal(size=(2, 4, 5, 3)).astype(np.float32)
    v = RNG.normal(size=(2, 3)).astype(np.float32)
    units = np.array([2, 0])

    @jax.jit
    def run(a: jax.Array, v: jax.Array, units: jax.Array) -> Any:
        axes = jnp.eye(3)[units]
        return (
            objectives.neuron(a, units, None),
            objectives.neuron(a, units, (3, 1)),
            objectives.direction(a, v, 0.0),
            objectives.direction(a, v, 2.0),
            objectives.direction(a, axes, 0.0),
            objectives.mean_activation(a, units, rectify=False),
        )

    middle, placed, mean, alike, axis, channel = run(a, v, units)
    np.testing.assert_array_equal(middle, [a[0, 2, 2, 2], a[1, 2, 2, 0]])
    np.testing.assert_array_equal(placed, [a[0, 3, 1, 2], a[1, 3, 1, 0]])
    dots = [[[a[n, i, j] @ v[n] for j in range(5)] for i in range(4)] for n in range(2)]
    np.testing.assert_allclose(mean, np.mean(dots, axis=(1, 2)), rtol=1e-4)
    expected = []
    for n in range(2):
        total = 0.0
        for i in range(4):
            for j in range(5):
                dot = a[n, i, j] @ v[n]
                cosine = dot / np.linalg.norm(a[n, i, j]) / np.linalg.norm(v[n])
                total += dot * max(0.1, cosine) ** 2
        expected.append(total / 20)
    np.testing.assert_allclose(alike, expected, rtol=1e-4)
    # A channel is the direction of its axis.
    np.testing.assert_allclose(axis, channel, rtol=1e-5)


def test_likeness() -> None:
    a, b = RNG.normal(size=(2, 3, 4, 2)).astype(np.float32), np.ones((2, 3, 4, 2), np.float32)
    b[1] = a[1] * 2

    @jax.jit
    def run(a: jax.Array, b: jax.Array) -> Any:
        dark = jax.grad(lambda x: objectives.likeness(x, b, 4.0).sum())(jnp.zeros_like(a))
        powers = [objectives.likeness(a, b, power) for power in (0.0, 4.0)]
        return objectives.cosines(a, b), *powers, dark

    cosines, strong, alike, gradient = run(a, b)
    dots = [(x * y).sum() for x, y in zip(a, b, strict=True)]
    cosine = [d / np.linalg.norm(x) / np.linalg.norm(y) for d, x, y in zip(dots, a, b, strict=True)]
    np.testing.assert_allclose(cosines, cosine, rtol=1e-4)
    np.testing.assert_allclose(strong, dots, rtol=1e-4)
    expected = [d * max(0.1, c) ** 4 for d, c in zip(dots, cosine, strict=True)]
    np.testing.assert_allclose(alike, expected, rtol=1e-4)
    assert np.isfinite(gradient).all()


def test_sameness_is_lucid_s_diversity() -> None:
    a = RNG.normal(size=(2, 3, 5, 4)).astype(np.float32)  # two units, three images of each
    sameness = jax.jit(objectives.sameness)
    found = np.asarray(sameness(a))
    for unit in range(2):
        grams = [image.T @ image for image in a[unit]]
        grams = [gram / np.linalg.norm(gram) for gram in grams]
        for i in range(3):
            others = sum((grams[i] * grams[j]).sum() for j in range(3) if j != i)
            np.testing.assert_allclose(found[unit, i], others, rtol=1e-4)
    # What matters is which channels go together, not where.
    moved = np.stack([a[:, 0], a[:, 0, ::-1], a[:, 0]], 1)
    np.testing.assert_allclose(sameness(moved), 2, rtol=1e-4)


def test_optimisers() -> None:
    gradients = [RNG.normal(size=4).astype(np.float32) for _ in range(4)]

    def run(name: str, rate: float, decay: float = 0.0) -> np.ndarray:
        rule = ascending(name, rate, decay)  # type: ignore[arg-type]

        @jax.jit
        def climb(gradients: list[jax.Array]) -> jax.Array:
            x = jnp.zeros(4)
            state = rule.init(x)
            for gradient in gradients:
                updates, state = rule.update(gradient, state, x)
                x = x + updates
            return x

        return np.asarray(climb(gradients))

    x, square = np.zeros(4), np.zeros(4)
    for gradient in gradients:
        square = 0.95 * square + 0.05 * gradient**2
        x = x + 1.5 * gradient / np.sqrt(square + 1e-7)
    np.testing.assert_allclose(run("rmsprop", 1.5, 0.95), x, rtol=1e-4)

    # TensorFlow's adds its epsilon outside of the root, which small gradients feel.
    x, square = np.zeros(4), np.zeros(4)
    gradients = [gradient * 1e-6 for gradient in gradients]
    for gradient in gradients:
        square = 0.999 * square + 0.001 * gradient**2
        x = x + gradient / (np.sqrt(square) + 1e-7)
    np.testing.assert_allclose(run("tf_rmsprop", 1.0, 0.999), x, rtol=1e-4)
    assert np.abs(run("rmsprop", 1.0, 0.999) / x).max() < 0.01
    gradients = [gradient * 1e6 for gradient in gradients]

    for nesterov in (False, True):
        x, mean, square = np.zeros(4), np.zeros(4), np.zeros(4)
        for t, gradient in enumerate(gradients, 1):
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            unbiased = mean / (1 - 0.9**t)
            if nesterov:
                unbiased = 0.9 * mean / (1 - 0.9 ** (t + 1)) + 0.1 * gradient / (1 - 0.9**t)
            x = x + 0.05 * unbiased / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(run("nadam" if nesterov else "adam", 0.05), x, rtol=1e-3)


def test_redirected_rectifiers_lead_up_only_where_nothing_passes() -> None:
    x = jnp.array([[-1.0, -2.0, -3.0], [-1.0, 2.0, -3.0]])
    weights = jnp.array([3.0, 1.0, -2.0])

    def value(x: jax.Array) -> jax.Array:
        return jax.nn.relu(x) @ weights

    @jax.jit
    def run(x: jax.Array) -> Any:
        slopes = [
            jax.grad(lambda x, f=f: f(x).sum())(x) for f in (value, partial(redirected, value))
        ]
        return *slopes, value(x), redirected(value, x)

    plain, own, scores, same = run(x)
    np.testing.assert_array_equal(plain, [[0, 0, 0], [0, 1, 0]])
    # The first image is stuck: what pushes up passes. The second keeps its own gradient.
    np.testing.assert_array_equal(own, [[3, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(same, scores)
