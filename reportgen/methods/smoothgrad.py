"""SmoothGrad, its square and VarGrad: gradients over noisy copies of the input.

Smilkov, Thorat, Kim, Viégas, Wattenberg: SmoothGrad (2017), arXiv:1706.03825; Hooker, Erhan,
Kindermans, Kim: A Benchmark for Interpretability Methods (2019), arXiv:1806.10758, for the square;
Adebayo, Gilmer, Goodfellow, Kim: Local Explanation Methods (2018), arXiv:1810.03307, for VarGrad.

What others take as their defaults, in the keys of this method:

- PAIR saliency: ``samples=25 noise=0.15 noise_unit=range``; its ``magnitude=True`` returns what is
  ``variant=squared`` here.
- Captum ``NoiseTunnel``: ``samples=5 noise=1 noise_unit=absolute``. Its VarGrad divides by the
  number of samples, as here.
- Zennit: ``samples=20 noise=0.1 noise_unit=range``, of which one sample is without noise.
- Xplique: ``samples=50 noise=0.2 noise_unit=absolute``; its VarGrad divides by one sample less.
- tf-keras-vis: ``noise=0.2 noise_unit=range``; it averages absolute gradients, so that signs that
  change from sample to sample do not cancel as they do here and in the paper.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp

from reportgen.core.settings import Count, NotNegative, Switch, settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.draws import normal
from reportgen.methods.gradients import score_gradient
from reportgen.models.base import Model

Variant = Literal["plain", "squared", "vargrad"]


class Moments(NamedTuple):
    """Of the gradients of N images over their noisy copies, (N, H, W, C) each.

    Attributes:
      variance: the mean of squared differences from the mean.
    """

    mean: jax.Array
    variance: jax.Array


def sample_noise(keys: jax.Array, sample: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise (N, *shape) of one sample, of each image's own key."""
    return jax.vmap(lambda key: normal(jax.random.fold_in(key, sample), shape))(keys)


def gradient_moments(
    model: Model,
    x: jax.Array,
    targets: jax.Array,
    keys: jax.Array,
    *,
    samples: int,
    deviation: jax.Array,
) -> Moments:
    """Mean and variance of d score[target] / d x at noisy copies of x, one copy of all at a time.

    Args:
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.
      keys: (N,) random keys.
      deviation: (N,) of the noise, in the unit of x.
    """

    def step(done: Moments, sample: jax.Array) -> tuple[Moments, None]:
        noise = deviation[:, None, None, None] * sample_noise(keys, sample, x.shape[1:])
        gradient = score_gradient(model, x + noise, targets)
        # Welford's sums: a mean of squares less a squared mean would cancel in float32.
        before = gradient - done.mean
        mean = done.mean + before / (sample + 1)
        return Moments(mean, done.variance + before * (gradient - mean)), None

    zeros = jnp.zeros_like(x)
    mean, squares = jax.lax.scan(step, Moments(zeros, zeros), jnp.arange(samples))[0]
    return Moments(mean, squares / samples)


def smoothgrad(moments: Moments, variant: Variant, magnitude: bool) -> jax.Array:
    """One number a pixel, from the moments of its gradients.

    Args:
      variant: ``plain``: the mean m. ``squared``: the mean of squares. ``vargrad``: the variance.
      magnitude: of ``plain``: max over channels of |m|, or else the sum over channels of m.

    Returns:
      (N, H, W); not negative, unless ``plain`` without magnitude. Of ``squared`` and ``vargrad``
      it is the maximum over channels, in squared scores per squared unit of normalised input.
    """
    mean, variance = moments
    if variant == "vargrad":
        return variance.max(axis=-1)
    if variant == "squared":
        return (mean**2 + variance).max(axis=-1)
    return jnp.abs(mean).max(axis=-1) if magnitude else mean.sum(axis=-1)


@settings
class SmoothGrad(Attribution):
    """Those of all attribution methods, and:

    Attributes:
      variant: what is taken of the gradients, see ``smoothgrad``.
      samples: noisy copies of each image.
      noise: standard deviation of the noise.
      noise_unit: of it: ``range`` is that image's largest less its smallest normalised value,
        ``absolute`` is one unit of normalised input.
      magnitude: of ``plain``: absolute values, or else with their sign.
    """

    title: ClassVar[str] = "SmoothGrad"
    many_runs: ClassVar[bool] = True
    intro: ClassVar[str] = (
        "The gradient of the class score, smoothed over noisy copies of the image: what changes "
        "from copy to copy is noise of the gradient and averages out. VarGrad shows just what "
        "changes."
    )

    variant: Variant
    samples: Count
    noise: NotNegative
    noise_unit: Literal["range", "absolute"]
    magnitude: Switch

    def __post_init__(self) -> None:
        if self.variant != "plain" and not self.magnitude:
            raise ValueError(f"magnitude=false is for variant=plain; {self.variant} has no sign")
        if self.variant == "vargrad" and self.samples < 2:
            raise ValueError("variant=vargrad is a variance and needs samples of 2 or more")

    @property
    def signed(self) -> bool:
        return not self.magnitude

    @property
    def formula(self) -> str:
        gradient = "∂ score / ∂ (input + noise)"
        if self.variant == "squared":
            return f"max over channels of mean over samples of ({gradient})² (Hooker et al. 2019)"
        if self.variant == "vargrad":
            return f"max over channels of variance over samples of {gradient} (Adebayo et al. 2018)"
        mean = f"mean over samples of {gradient}"
        over = (
            f"max over channels of |{mean}|" if self.magnitude else f"sum over channels of {mean}"
        )
        return f"{over} (Smilkov et al. 2017)"

    @property
    def measure(self) -> str:
        unit = "scores per unit of normalised input"
        if self.variant != "plain":
            return f"({unit})², not negative"
        return f"{unit}, not negative" if self.magnitude else f"{unit}; positive raises the score"

    def details(self, model: Model) -> str:
        of = "of each image's range" if self.noise_unit == "range" else "in normalised units"
        return f"{self.samples} samples, noise {self.noise:g} {of}"

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        axes = (1, 2, 3)
        extent = x.max(axis=axes) - x.min(axis=axes)
        deviation = self.noise * (extent if self.noise_unit == "range" else jnp.ones_like(extent))
        moments = gradient_moments(
            model, x, targets, keys, samples=self.samples, deviation=deviation
        )
        return Maps(smoothgrad(moments, self.variant, self.magnitude), {})
