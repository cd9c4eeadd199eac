"""What methods that change the derivative of rectifiers ask of a network, and say of it."""

from __future__ import annotations

from collections import Counter

from reportgen.core.errors import NotApplicableError
from reportgen.models.base import Model
from reportgen.rewrite.rectifiers import rectifiers


def check_rectifiers(method: str, model: Model) -> None:
    """Refuse a network on which another rule for rectifiers would change nothing.

    Raises:
      NotApplicableError: if it has none.
    """
    if not rectifiers(model.traced()):
        raise NotApplicableError(
            f"{method} changes the derivative of rectifiers, and {model.name} has none "
            "(ReLU, leaky ReLU, GELU, SiLU, ELU, softplus, in any notation).",
            "Take saliency or integrated_gradients, which need none.",
        )


def rectifiers_in_words(model: Model) -> str:
    """How many of which kind were found, for the report."""
    counts = Counter(rectifiers(model.traced()))
    words = [f"{count} × {kind}" for kind, count in counts.items()]
    by_sign = "" if set(counts) <= {"ReLU"} else ", each treated as ReLU by the sign of its input"
    return f"rectifiers: {', '.join(words)}{by_sign}"
