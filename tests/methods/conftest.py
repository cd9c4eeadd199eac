"""What several tests of methods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import DictConfig

from tests.methods.small_networks import Averaged


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
def averaged(model_of: Callable[..., Any], lenet: Any) -> Any:
    """A network of LeNet's input that compiles in half the time; cam needs its form."""
    return model_of(lambda rngs: Averaged(rngs, channels=1), lenet.spec, lenet.classes)


@pytest.fixture(scope="session")
def explained(run_method: Callable[..., Any]) -> dict[str, Any]:
    """What tests of maps test: those of two methods on the first images of LeNet."""
    return {name: run_method(name).explained for name in ("saliency", "gradcam")}
