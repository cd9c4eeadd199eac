"""A user's network opened as the program opens it, with weights that cost nothing to make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from reportgen.compose import conf_dir

from .networks import keras_undrawn


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Compose the configuration with some overrides; what chooses files is composed once.

    Hydra takes longer for that than most networks here take to be opened.
    """

    @cache
    def of_files(*chosen: str) -> DictConfig:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", list(chosen))

    def make(*overrides: str) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        values = [one for one in parsed if "." in one.key_or_group]
        node = deepcopy(of_files(*(one.input_line for one in parsed if one not in values)))
        for one in values:
            OmegaConf.update(node, one.key_or_group, one.value(), force_add=one.is_add())
        return node

    return make


@pytest.fixture
def undrawn() -> Iterator[None]:
    with keras_undrawn():
        yield


@pytest.fixture(scope="module")
def opened_once(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A Model of what a factory returns, for the input ``SPEC`` of the test's own file.

    Its weights are drawn by NumPy: zeros and ones, as frameworks make biases and variances, would
    hide mistakes, and drawing by JAX compiles for seconds.
    """
    from reportgen.config import ScoreConfig
    from reportgen.models import factory
    from reportgen.models.load import describe

    @cache
    def make(made: Callable[..., Any], output: str = "") -> Any:
        spec = request.module.SPEC
        adapted = factory.adapt_made(factory.calling("test:net", made, {}), spec)
        network = describe(
            adapted,
            spec=spec,
            name="net",
            architecture="test:net",
            score=ScoreConfig(kind="logit", row=None, column=None),
            output=output,
        )
        random = np.random.default_rng(7)
        weights = {}
        for name, leaf in adapted.shapes.items():
            values = random.uniform(0.05, 0.4, leaf.shape)
            if "var" not in name.rpartition(".")[2]:  # a variance is positive
                values *= random.choice((-1.0, 1.0), leaf.shape)
            weights[name] = jnp.asarray(values, leaf.dtype)
        return network.with_weights(weights)

    return make
