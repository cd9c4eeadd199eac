"""Pictures that have the frequencies of natural images: only the phases are free.

Fel, Boissin, Boutin, Picard, Novello, Colin, Linsley, Rousseau, Cadène, Gardes, Serre: Unlocking
Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization (2023),
arXiv:2306.06805; standardised and squashed as in Xplique. Its magnitudes are ImageNet's; here they
are those of the images at hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.draws import normal
from reportgen.methods.synthesis.colour import correlate, decorrelate
from reportgen.methods.synthesis.transforms import resize

_EPSILON = 1e-5


def magnitude(images: Iterable[np.ndarray], height: int, width: int) -> jax.Array:
    """Mean magnitudes (C, H, W // 2 + 1) of the spectra of images (h, w, C), 0..255.

    Of their decorrelated colours, at the size (H, W) of the pictures to come.
    """
    total, count = jnp.zeros(()), 0
    for image in images:
        total, count = total + _magnitude(jnp.asarray(image), height, width), count + 1
    return total / count


@partial(jax.jit, static_argnums=(1, 2))
def _magnitude(image: jax.Array, height: int, width: int) -> jax.Array:
    colours = decorrelate(resize(image[None] / 255, (height, width)))[0]
    return jnp.abs(jnp.fft.rfft2(colours.transpose(2, 0, 1)))


def begin(key: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Phases (C, H, W // 2 + 1), normally distributed with deviation 1."""
    height, width, channels = shape
    return normal(key, (channels, height, width // 2 + 1))


def pictures(phases: jax.Array, magnitude: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """(N, H, W, C), 0..255, of phases (N, C, H, W // 2 + 1).

    Phases are standardised, so that they do not turn round and round, and so are the waves.
    """
    height, width, _ = shape
    phases = _standardised(phases)
    spectrum = jax.lax.complex(jnp.cos(phases), jnp.sin(phases)) * magnitude
    waves = jnp.fft.irfft2(spectrum, s=(height, width)).transpose(0, 2, 3, 1)
    return 255 * jax.nn.sigmoid(correlate(_standardised(waves)))


def _standardised(values: jax.Array) -> jax.Array:
    """Each of the N to mean 0 and deviation 1."""
    axes = tuple(range(1, values.ndim))
    centred = values - values.mean(axis=axes, keepdims=True)
    return centred / (centred.std(axis=axes, keepdims=True) + _EPSILON)
