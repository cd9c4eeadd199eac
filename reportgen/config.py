"""The whole configuration as typed settings, and Hydra's complaints in a person's words.

Values and their defaults stand in ``conf/`` alone; the classes here hold types and ranges.
A method's own keys are checked by the method's own class (see ``methods/base.py``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import reportgen
from reportgen.core.errors import ConfigError, did_you_mean
from reportgen.core.settings import Count, Switch, Texts, Whole, parse, settings
from reportgen.core.spec import InputSpec


@settings
class ModelConfig:
    """``model``: which network, and what it takes.

    Attributes:
      factory: ``package.module:name`` of what builds the module.
      kwargs: passed to the factory.
      classes: names of the outputs; empty for their numbers.
      embedded: file of the weights shipped with reportgen; empty if there are none.
    """

    name: str
    factory: str
    kwargs: dict[str, Any]
    input: InputSpec
    classes: Texts
    embedded: str


@settings
class WeightsConfig:
    """``weights``: a file, the embedded ones (no path), or random ones asked for by name."""

    path: str | None
    random: Switch


@settings
class DataConfig:
    """``data``: where images come from.

    Attributes:
      count: how many at the most, chosen by the seed; None for all.
      max_pixels: a larger image is refused, since a small file can unfold to gigabytes.
    """

    source: Literal["embedded", "folder"]
    path: str | None
    count: Count | None
    max_pixels: Count


@settings
class ColormapConfig:
    """``colormap``: Matplotlib's names by what is drawn."""

    weights: str
    activations: str
    heatmap: str
    matrix: str


@settings
class ReportConfig:
    """``report``: where it goes and what it is called (empty: named after the model)."""

    dir: str | None
    title: str


@settings
class EngineConfig:
    """``engine``: how it is computed.

    Attributes:
      compilation_cache: keep compiled programs in the user's cache folder between runs.
      batch: images or units that are computed at once.
    """

    compilation_cache: Switch
    batch: Count


@settings
class Config:
    """The whole configuration; ``method`` maps each chosen method to its still unchecked keys."""

    model: ModelConfig
    weights: WeightsConfig
    data: DataConfig
    layers: Texts
    method: dict[str, dict[str, Any]]
    colormap: ColormapConfig
    report: ReportConfig
    engine: EngineConfig
    seed: Whole


def conf_dir() -> Path:
    """The folder of the Hydra tree: inside the installed package, or beside it in a checkout."""
    package = Path(reportgen.__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def read(node: DictConfig) -> Config:
    """The typed configuration of what Hydra composed.

    Raises:
      ConfigError: naming every wrong key and value.
    """
    try:
        plain = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"The configuration cannot be resolved: {error}") from error
    assert isinstance(plain, dict)
    methods = plain.get("method")
    if not methods:
        raise ConfigError("No method is chosen.", f"Choose some: {_example()}")
    if isinstance(methods, dict):
        for name, keys in methods.items():
            if not isinstance(keys, dict):
                raise ConfigError(
                    f"method.{name} is {keys!r}; it takes keys of its own.",
                    f"Choose methods with {_example()}, and set one's key with method.{name}.KEY=…",
                )
    return parse(Config, {str(key): value for key, value in plain.items()})


def _example() -> str:
    return "method=[weights,saliency]"


def options(group: str) -> list[str]:
    """The names that a config group offers."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def explain(error: Exception) -> ConfigError | None:
    """Hydra's or OmegaConf's error as one that names the nearest valid name, else None."""
    from hydra.errors import HydraException, MissingConfigException

    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        # Hydra lists the options only where one is chosen, not where several are.
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = error.options or options(group)
        return ConfigError(f"There is no {group} named {name!r}.", did_you_mean(name, known))
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _unknown_key(cause)
    if isinstance(error, HydraException | OmegaConfBaseException):
        lines = [line for line in str(error).splitlines() if "hydra.cc" not in line]
        return ConfigError("The configuration is wrong: " + " ".join(lines).strip())
    return None


def _unknown_key(error: OmegaConfBaseException) -> ConfigError:
    full_key = str(error.full_key)
    parent, _, key = full_key.rpartition(".")
    head = full_key.split(".")
    node = error.parent_node
    known = [str(name) for name in node] if isinstance(node, DictConfig) else []
    if head[0] == "method" and len(head) > 1 and head[1] in options("method"):
        chosen = node if parent == "method" else None
        if isinstance(chosen, DictConfig) and head[1] not in chosen:
            methods = ",".join([str(name) for name in chosen] + [head[1]])
            return ConfigError(
                f"{full_key}: the method {head[1]!r} is not chosen.",
                f"Choose it too: method=[{methods}]",
            )
    if re.search(r"is not in struct|not in", str(error)):
        place = f" under {parent}" if parent else ""
        return ConfigError(f"There is no key {key!r}{place}.", did_you_mean(key, known))
    return ConfigError(f"{full_key}: {str(error).splitlines()[0]}")
