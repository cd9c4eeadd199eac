"""Our side of a measurement: a method as the pipeline runs it, without any files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from hydra import compose, initialize_config_dir

from reportgen.chosen import chosen_methods
from reportgen.compose import conf_dir
from reportgen.config import Config, read
from reportgen.core.images import Facts, ImageBatch
from reportgen.engine.cpu import divide_cpu
from reportgen.engine.rows import Engine
from reportgen.methods.base import Result
from reportgen.methods.survey import Survey
from reportgen.models.base import Model
from reportgen.models.load import load_model, open_network
from reportgen.running import Job, prepare


class Pixels(np.ndarray):
    """Images in memory, as ``core.images.Pixels`` hands them out."""

    def wait(self, count: int) -> int:
        return min(count, len(self))


def composed(overrides: list[str]) -> Config:
    """The configuration of a command line."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return read(compose("config", overrides))


def network(config: Config, weights: Mapping[str, np.ndarray] | None = None) -> Model:
    """Its network, with some parameters put in."""
    divide_cpu(config.engine.cpu_devices)
    opened = open_network(config)
    model, _ = load_model(opened, config)
    return model.with_parameters({**model.parameters, **(weights or {})})


@dataclass(frozen=True)
class Prepared:
    """A method, its network and images in memory; ``engine.told`` is what it says in the log."""

    job: Job
    engine: Engine

    def __call__(self) -> Result:
        assert self.job.context is not None, self.job.skipped
        return self.job.method.run(self.job.context)


def method(
    name: str,
    overrides: list[str],
    images: np.ndarray | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
) -> Prepared:
    """One method of a command line with ``method=NAME``.

    Args:
      images: (N, H, W, C), 0..255, at the network's size; None for those of the configuration.
    """
    config = composed([*overrides, f"method={name}", "data=none"])
    pixels = np.zeros((0, 1, 1, 3), np.uint8) if images is None else images
    names = tuple(map(str, range(len(pixels))))
    batch = ImageBatch(
        pixels=pixels.view(Pixels),
        listed=len(pixels),
        source="memory",
        facts=lambda: Facts(names=names, labels=None, sha256="", skipped=()),
    )
    chosen, model = chosen_methods(config, overrides), network(config, weights)
    engine = Engine.local(
        config.engine.batch,
        config.engine.memory_budget,
        early_ranking=config.engine.early_ranking,
        bfloat16=config.engine.bfloat16,
    )
    job = prepare(name, chosen, config=config, survey=Survey(model, batch, engine))
    return Prepared(job, engine)
