"""Pictures as scaled Fourier coefficients of decorrelated colours, as Lucid has them.

All frequencies then move at like rates, where steps on pixels favour the highest. Olah,
Mordvintsev, Schubert: Feature Visualization (2017), distill.pub.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.methods.draws import normal
from reportgen.methods.synthesis.colour import correlate

DEVIATION = 0.01  # of the first coefficients, before they are scaled
_QUARTER = 4.0  # Lucid's divisor, which it gives no reason for


def frequencies(height: int, width: int) -> np.ndarray:
    """(H, W // 2 + 1) lengths of the frequencies of ``rfft2``, in cycles a pixel."""
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])


def scale(height: int, width: int) -> np.ndarray:
    """(H, W // 2 + 1) factors: √(W H) / max(frequency, 1 / max(W, H))."""
    lowest = 1 / max(height, width)
    scaled = np.sqrt(width * height) / np.maximum(frequencies(height, width), lowest)
    return scaled.astype(np.float32)


def begin(key: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """Real and imaginary parts (2, C, H, W // 2 + 1) of a nearly grey picture (H, W, C)."""
    height, width, channels = shape
    return DEVIATION * normal(key, (2, channels, height, width // 2 + 1))


def pictures(coefficients: jax.Array, shape: tuple[int, int, int]) -> jax.Array:
    """(N, H, W, C), 0..255, of coefficients (N, 2, C, H, W // 2 + 1)."""
    height, width, _ = shape
    spectrum = jax.lax.complex(coefficients[:, 0], coefficients[:, 1]) * scale(height, width)
    waves = jnp.fft.irfft2(spectrum, s=(height, width)).transpose(0, 2, 3, 1) / _QUARTER
    return 255 * jax.nn.sigmoid(correlate(waves))
