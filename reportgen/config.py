"""The whole configuration as typed settings.

Values and their defaults stand in ``conf/`` alone; the classes here hold types and ranges.
A method's own keys are checked by the method's own class (see ``methods/base.py``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BeforeValidator

from reportgen.core.errors import ConfigError
from reportgen.core.settings import (
    Bytes,
    Count,
    FilePath,
    Positive,
    Switch,
    Text,
    Texts,
    Whole,
    parse,
    settings,
)
from reportgen.core.spec import InputSpec


@settings
class ModelConfig:
    """``model``: which network, and what it takes.

    Attributes:
      factory: ``package.module:name`` of what builds the module.
      kwargs: passed to the factory.
      classes: names of the outputs, or one .txt or .json file of them; empty for their numbers.
      output: which part of a tuple or dictionary that the network returns (``logits``, ``0``);
        empty if it returns one array.
      embedded: file of the weights shipped with reportgen; empty if there are none.
    """

    name: str
    factory: str
    kwargs: dict[str, Any]
    input: InputSpec
    classes: Texts
    output: Text
    embedded: str

    def __post_init__(self) -> None:
        # In a file of names there may be two alike: ImageNet's has two cranes.
        if twice := [name for name in self.classes if self.classes.count(name) > 1]:
            raise ValueError(
                f"classes has {twice[0]!r} more than once; expected one name an output"
            )


@settings
class WeightsConfig:
    """``weights``: where they come from.

    Attributes:
      source: ``file``, ``embedded`` (a path makes it a file), ``random``, or ``factory``: those
        that the model's factory makes or loads itself.
      strict: refuse a file that does not fit the network tensor by tensor; else load what fits,
        and list the rest in the report.
      finite: refuse a file with NaN or infinite values.
    """

    source: Literal["embedded", "file", "random", "factory"]
    path: FilePath | None
    strict: Switch
    finite: Switch


@settings
class ScoreConfig:
    """``score``: the scalar of the output that is explained, one for each class or channel.

    Attributes:
      kind: ``logit`` of a class; ``channel_mean`` over all positions and ``pixel`` for dense
        predictions; ``norm`` of an embedding.
      row, column: of the pixel; None for the centre.
    """

    kind: Literal["logit", "channel_mean", "pixel", "norm"]
    row: Whole | None
    column: Whole | None

    def __post_init__(self) -> None:
        if self.kind != "pixel" and (self.row, self.column) != (None, None):
            raise ValueError(
                f"row is {self.row}, column is {self.column}; expected none with "
                f"score={self.kind}: they choose a position with score=pixel"
            )


@settings
class DataConfig:
    """``data``: where images come from.

    Attributes:
      count: how many at the most, chosen by the seed; None for all.
      balanced: as many of each class as can be.
      classes: only images of these, by name or index; empty for all.
      files: only these, by name, in this order; empty for all.
      images, labels: array or column that holds them; ``auto`` to find it, None for no labels.
      max_pixels: a larger image is refused, since a small file can unfold to gigabytes.
    """

    source: Literal["embedded", "folder", "csv", "npz", "none"]
    path: FilePath | None
    count: Count | None
    balanced: Switch
    classes: Texts
    files: Texts
    images: str
    labels: Text | None
    max_pixels: Count


@settings
class ColormapConfig:
    """``colormap``: names by what is drawn; ``signed`` maps are centred on zero."""

    weights: str
    activations: str
    heatmap: str
    signed: str
    matrix: str


@settings
class ReportConfig:
    """``report``: where it goes and what is in it.

    Attributes:
      title: empty: named after the model.
      timings: tell the seconds that each map took; without them equal runs give equal files.
      bundle, max_mb, pdf: see ``Rendering``.
      templates: folder of the house's own, laid over the shipped ones.
      logo: a picture's file.
      accent, accent_dark: a colour's name or ``#rrggbb``; None for the shipped, or for the dark
        page one made from the other.
    """

    dir: str | None
    title: str
    timings: Switch
    bundle: Literal["dir", "single"]
    max_mb: Positive | None
    pdf: Literal["a-2", "a-3"]
    templates: FilePath | None
    logo: FilePath | None
    accent: Text | None
    accent_dark: Text | None


def _as_tag(value: Any) -> Any:
    """A text: of a number the spelling is lost (``1.10`` is 1.1), and with it the tag."""
    if value is not None and not isinstance(value, str):
        raise ValueError(
            f"expected a text such as v1.4, found {value!r}, which is none; where a tag looks like "
            "a number, it is put into quotes twice: 'archive.release=\"1.10\"'"
        )
    return value


@settings
class ArchiveConfig:
    """``archive``: where reports are kept for good.

    Attributes:
      release: a tag, or ``nightly``; None if the report is not archived.
      force: replace a report that is there already.
    """

    dir: FilePath
    release: Annotated[str | None, BeforeValidator(_as_tag)]
    force: Switch


@settings
class HostsConfig:
    """``engine.hosts`` by hand: ``count`` hosts, of which this is number ``number``, from 0."""

    coordinator: Text
    count: Count
    number: Whole

    def __post_init__(self) -> None:
        if self.number >= self.count:
            raise ValueError(f"number is {self.number}; expected 0 to {self.count - 1}")


@settings
class EngineConfig:
    """``engine``: how it is computed.

    Attributes:
      compilation_cache: keep compiled programs in the user's cache folder between runs.
      cpu_lowerings: on a CPU, run networks in operations that it is faster at.
      cpu_devices: that JAX makes of a CPU; None for one a core.
      batch: images or units that are computed at once on each device, at the most.
      memory_budget: bytes that a program may take on each device; None for a share of what it has.
      early_ranking: leave behind what will not be drawn; ``check`` climbs all and tells who would
        have been missed.
      bfloat16: synthesise by networks of 16-bit numbers; ``auto`` wherever that is faster.
      hosts: that make one report together; ``auto`` where a cluster's variables name them.
      kept: bytes of finished work in the user's cache folder, at the most.
    """

    compilation_cache: Switch
    kept: Bytes
    cpu_lowerings: Switch
    cpu_devices: Count | None
    batch: Count
    memory_budget: Bytes | None
    early_ranking: Switch | Literal["check"]
    bfloat16: Switch | Literal["auto"]
    hosts: HostsConfig | Literal["auto"] | None


@settings
class AuditConfig:
    """``audit``: the checks by name, with keys that their own classes check.

    Attributes:
      fail_on: which findings make the command fail, with exit code 3.
    """

    fail_on: Literal["fail", "warn", "never"]
    checks: dict[str, dict[str, Any]]


@settings
class Config:
    """The whole configuration; ``method`` maps each chosen method to its still unchecked keys.

    Attributes:
      baseline: folder of the report to compare with; None for none.
      resume: find work that was finished before; it is kept in any case.
    """

    model: ModelConfig
    weights: WeightsConfig
    score: ScoreConfig
    data: DataConfig
    layers: Texts
    method: dict[str, dict[str, Any]]
    colormap: ColormapConfig
    audit: AuditConfig
    baseline: FilePath | None
    report: ReportConfig
    archive: ArchiveConfig
    engine: EngineConfig
    resume: Switch
    seed: Whole


def read(node: DictConfig) -> Config:
    """The typed configuration of what Hydra composed.

    Raises:
      ConfigError: naming every wrong key and value.
    """
    if missing := sorted(OmegaConf.missing_keys(node)):
        example = " ".join(f"{key}={_EXAMPLES.get(key, '…')}" for key in missing)
        raise ConfigError(f"A value is needed for {', '.join(missing)}.", f"For example: {example}")
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
    audit = dict(plain["audit"])
    plain["audit"] = {"fail_on": audit.pop("fail_on"), "checks": audit}
    return parse(Config, {str(key): value for key, value in plain.items()})


# Of the keys whose value only a person can know.
_EXAMPLES = {
    "model.factory": "package.module:Network",
    "model.input.height": "224",
    "model.input.width": "224",
    "weights.path": "mine.safetensors",
    "data.path": "photos/",
}


def _example() -> str:
    return "method=[weights,saliency]"
