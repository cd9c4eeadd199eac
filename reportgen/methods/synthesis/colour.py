"""Colours that vary by themselves, as those of natural images do not.

Olah, Mordvintsev, Schubert: Feature Visualization (2017), distill.pub; the matrix is Lucid's.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

# A square root of the covariance of ImageNet's colours, its longest column made of length one.
_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
CORRELATION = (_ROOT / np.linalg.norm(_ROOT, axis=0).max()).astype(np.float32)


def correlate(pictures: jax.Array) -> jax.Array:
    """From independent axes to red, green and blue; grey pictures (…, 1) stay what they are."""
    if pictures.shape[-1] != 3:
        return pictures
    return jnp.matmul(pictures, CORRELATION.T, precision=jax.lax.Precision.HIGHEST)


def decorrelate(pictures: jax.Array) -> jax.Array:
    """The inverse of ``correlate``."""
    if pictures.shape[-1] != 3:
        return pictures
    inverse = np.linalg.inv(CORRELATION.astype(np.float64)).astype(np.float32)
    return jnp.matmul(pictures, inverse.T, precision=jax.lax.Precision.HIGHEST)
