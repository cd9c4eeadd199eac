"""Integrated gradients: how the score came from a baseline to the image, pixel by pixel.

Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks (2017), arXiv:1703.01365; as
Captum's ``IntegratedGradients``, with its names of the rules, but for the trapezoid: Captum's
weights sum to 1 - 1/steps, so that its maps are that much too small; here they sum to one.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.settings import Count, Positive, settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.baselines import Baseline, baseline
from reportgen.methods.gradients import score_gradient, target_scores
from reportgen.models.base import Model

Rule = Literal[
    "gauss_legendre", "riemann_trapezoid", "riemann_left", "riemann_right", "riemann_middle"
]


def quadrature(rule: Rule, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Where an integral over 0..1 is evaluated, and with what weights: (steps,) each."""
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (nodes + 1) / 2, weights / 2
    if rule == "riemann_trapezoid":
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps), weights
    shift = {"riemann_left": 0, "riemann_middle": 0.5, "riemann_right": 1}[rule]
    return (np.arange(steps) + shift) / steps, np.full(steps, 1 / steps)


def path_gradients(
    model: Model, x: jax.Array, start: jax.Array, targets: jax.Array, rule: Rule, steps: int
) -> jax.Array:
    """(x - start) · ∫ d score[target] / d x along the straight line from start to x.

    Args:
      x, start: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.

    Returns:
      (N, H, W, C), signed, in scores; all of an image sum to score(x) - score(start), but for the
      rule's error.
    """

    def step(total: jax.Array, part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        node, weight = part
        gradient = score_gradient(model, start + node * (x - start), targets)
        return total + weight * gradient, None

    nodes, weights = quadrature(rule, steps)
    parts = jnp.asarray(nodes, x.dtype), jnp.asarray(weights, x.dtype)
    return (x - start) * jax.lax.scan(step, jnp.zeros_like(x), parts)[0]


@settings
class IntegratedGradients(Attribution):
    """Those of all attribution methods, and:

    Attributes:
      baseline: the input that the path begins at, see ``baselines.baseline``.
      draws: how many random baselines are averaged; for ``random``.
      blur: the Gaussian's standard deviation over the image's shorter side; for ``blurred``.
      steps: gradients along each path.
      rule: where on the path they are taken.
    """

    title: ClassVar[str] = "Integrated gradients"
    many_runs: ClassVar[bool] = True
    formula: ClassVar[str] = (
        "sum over channels of (input − baseline) · ∫ ∂ score / ∂ input along the line between them "
        "(Sundararajan et al. 2017)"
    )
    intro: ClassVar[str] = (
        "How much each pixel gives to the class score on the way from a baseline to the image. The "
        "values sum to what the score gains on it; the completeness gap tells how closely, so how "
        "far the number of steps suffices."
    )
    measure: ClassVar[str] = "scores; positive speaks for the class"
    signed: ClassVar[bool] = True

    baseline: Baseline
    draws: Count
    blur: Positive
    steps: Count
    rule: Rule

    def __post_init__(self) -> None:
        if self.rule == "riemann_trapezoid" and self.steps < 2:
            raise ValueError("rule=riemann_trapezoid needs steps of 2 or more, both ends")

    def details(self, model: Model) -> str:
        more = {"blurred": f" by {self.blur:g} of the side", "random": f", {self.draws} draws"}
        trapezoid = self.rule == "riemann_trapezoid"
        return (
            f"baseline {self.baseline}{more.get(self.baseline, '')}; {self.steps} steps "
            f"({self.rule.replace('_', ' ')}"
            f"{', of weights that sum to one, as those of Captum do not' if trapezoid else ''})"
        )

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        def path(draw: jax.Array) -> tuple[jax.Array, jax.Array]:
            drawn = jax.vmap(lambda key: jax.random.fold_in(key, draw))(keys)
            start = baseline(self.baseline, model.spec, x, drawn, self.blur)
            made = path_gradients(model, x, start, targets, self.rule, self.steps)
            return made.sum(axis=-1), target_scores(model, start, targets)

        draws = self.draws if self.baseline == "random" else 1
        maps, scores = jax.lax.map(path, jnp.arange(draws))
        values = maps.mean(axis=0)
        gain = target_scores(model, x, targets) - scores.mean(axis=0)
        gap = values.sum(axis=(1, 2)) - gain
        facts = {
            "score less the baseline's": gain,
            "completeness gap": gap,
            # Of an image that is its own baseline there is no gain to compare with.
            "completeness gap, relative": jnp.abs(gap) / jnp.maximum(jnp.abs(gain), 1e-12),
        }
        return Maps(values, facts)
