"""Layer-wise relevance propagation: the score itself, shared out among the pixels.

Bach et al.: On Pixel-Wise Explanations (2015), doi:10.1371/journal.pone.0130140; rules and
composites after Montavon et al.: Layer-Wise Relevance Propagation: An Overview (2019). The rules
are in ``rewrite/relevance_rules.py``; as Zennit's with batch norms merged. Captum's ``LRP`` with
``EpsilonRule`` differs by its epsilon, which stands in max pools and batch norms too, and beside
means where it stands beside sums here: the smaller it is, the less that matters.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import jax
import jax.numpy as jnp
from pydantic import BeforeValidator, Field

from reportgen.core.settings import NotNegative, Positive, settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.gradients import target_scores
from reportgen.models.base import Model
from reportgen.rewrite.relevance import RelevanceRule
from reportgen.rewrite.relevance_rules import Rule

RuleName = Literal["epsilon", "gamma", "z_plus", "alpha_beta"]
Rules = Annotated[
    tuple[RuleName, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
]


def lrp(
    model: Model, x: jax.Array, targets: jax.Array, rule: RelevanceRule
) -> tuple[jax.Array, jax.Array]:
    """Relevance of every input value for the score of the explained class.

    Args:
      x: inputs (N, H, W, C), normalised.
      targets: (N,) class indices.

    Returns:
      Relevance (N, H, W, C), signed, in scores, and the scores (N,) that were shared out.
    """
    scores, back = jax.vjp(lambda inputs: target_scores(model.rewritten(rule), inputs, targets), x)
    return back(jnp.ones_like(scores))[0], scores


@settings
class LRP(Attribution):
    """Settings of the method, besides those of all attribution methods.

    Attributes:
      rules: from the input to the output, each for an equal share of the convolutions and matrix
        products: a composite by depth; one name is the rule of all.
      epsilon: what keeps sums off zero.
      gamma: of the rule of that name: how much positive weights are preferred.
      alpha: of alpha_beta, at least 1; beta is alpha - 1.
    """

    title: ClassVar[str] = "LRP"
    formula: ClassVar[str] = "layer-wise relevance propagation (Bach et al. 2015)"
    intro: ClassVar[str] = (
        "The class score shared out among the pixels, layer by layer: what speaks for the class "
        "and what against it. What biases take goes to no pixel; the facts say how much is left."
    )
    measure: ClassVar[str] = "scores; positive speaks for the class"
    signed: ClassVar[bool] = True

    rules: Rules
    epsilon: Positive
    gamma: NotNegative
    alpha: Annotated[float, Field(ge=1)]

    def rule(self) -> RelevanceRule:
        """The rules, as the program is rewritten with them."""
        made = (Rule(name, self.epsilon, self.gamma, self.alpha) for name in self.rules)
        return RelevanceRule(tuple(made), self.epsilon)

    def fitted(self, model: Model) -> Self:
        model.rewritten(self.rule()).traced()
        return self

    def details(self, model: Model) -> str:
        return (
            f"rules from input to output: {', '.join(self.rules)}; batch norms are part of what "
            "stands before them, and max pools have no epsilon, as they have in Captum"
        )

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        relevance, scores = lrp(model, x, targets, self.rule())
        left = relevance.sum(axis=(1, 2, 3))
        return Maps(
            relevance.sum(axis=-1),
            {
                "sum of the map": left,
                # Of a score of exactly zero there is nothing to lose.
                "share of the score that reached the pixels": jnp.where(
                    scores == 0, 1.0, left / jnp.where(scores == 0, 1.0, scores)
                ),
            },
        )
