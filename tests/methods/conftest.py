"""What several tests of methods share: networks whose weights cost no compilation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from omegaconf import DictConfig

from tests.methods.drawn import drawn


@pytest.fixture(scope="session")
def composed(composed: Callable[..., DictConfig]) -> Callable[..., DictConfig]:
    """The same overrides are composed once: it takes longer than most of these methods do."""
    return cache(composed)


@pytest.fixture(scope="session")
def model_of() -> Callable[..., Any]:
    """A Model of what a factory of one's own returns, with weights by ``drawn``."""
    from reportgen.config import ScoreConfig
    from reportgen.models import factory
    from reportgen.models.load import describe

    def make(
        made: Callable[..., Any],
        spec: Any,
        classes: tuple[str, ...] = (),
        score: str = "logit",
        **more: Any,
    ) -> Any:
        adapted = factory.adapt_made(factory.calling("test:net", made, {}), spec)
        network = describe(
            adapted,
            spec=spec,
            name="net",
            architecture="test:net",
            classes=classes,
            score=ScoreConfig(kind=score, row=more.pop("row", None), column=more.pop("col", None)),
            **more,
        )
        return network.with_weights(drawn(adapted.shapes))

    return make


@pytest.fixture(scope="session")
def shaped(composed: Callable[..., DictConfig]) -> Callable[..., Any]:
    """A model by overrides, with the shapes of its weights in their place: none are drawn."""
    from reportgen.config import read
    from reportgen.models.load import open_network

    def make(*overrides: str) -> Any:
        network = open_network(read(composed(*overrides, "weights=random")))
        return network.with_weights(network.adapted.shapes)

    return make


@pytest.fixture(scope="session")
def explained(run_method: Callable[..., Any]) -> dict[str, Any]:
    """What tests of maps test: those of two methods on the first images of LeNet."""
    return {name: run_method(name).explained for name in ("saliency", "gradcam")}
