"""Hydra's part: where the tree of configs is, and Hydra's complaints in a person's words.

Imports neither NumPy nor pydantic: this is all that ``--help`` and shell completion wait for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import reportgen
from reportgen.core.errors import ConfigError, did_you_mean


def conf_dir() -> Path:
    """The folder of the Hydra tree: inside the installed package, or beside it in a checkout."""
    package = Path(reportgen.__file__).parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def compose_from(overrides: Sequence[str]) -> DictConfig:
    """The configuration with some overrides, for a command that Hydra does not run."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", list(overrides))


def options(group: str) -> list[str]:
    """The names that a config group offers."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


_CALLED = {"method": "method", "audit": "check"}


def class_of(keys: Mapping[str, Any], where: str) -> type:
    """The class that settings are of: a method, or a check of the audit.

    Args:
      where: dotted place of the settings in the configuration, which begins with their group.

    Raises:
      ConfigError: if they name none, or one that cannot be imported.
    """
    from hydra.utils import get_class

    group, _, name = where.partition(".")
    name = name.rpartition(".")[2]
    target = keys.get("_target_")
    if target is None:
        raise ConfigError(
            f"{where} has settings, but the {_CALLED[group]} is not chosen.",
            f"Choose it: {group}=[…,{name}]. {did_you_mean(name, options(group))}",
        )
    try:
        return get_class(target)
    except Exception as error:
        raise ConfigError(f"{where}._target_ {target!r} cannot be imported: {error}") from error


@contextmanager
def composing_once(arguments: Sequence[str]) -> Iterator[None]:
    """Spare Hydra the configuration that it composes only to read ``hydra.mode`` in it.

    That is half of what composing takes. The mode is not set by the tree, but may be by an
    experiment, another folder of configs or an override.
    """
    from hydra._internal.hydra import Hydra

    may_set = ("experiment", "hydra=", "hydra.mode", "hydra.searchpath", "--config", "-c")
    if any(argument.lstrip("+").startswith(may_set) for argument in arguments):
        yield
        return
    asked = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]  # the flags decide
    try:
        yield
    finally:
        Hydra.get_mode = asked  # type: ignore[method-assign]


def prefer_own_launchers() -> None:
    """Take the launchers that stand in the tree, with defaults of our own, and not their plugins'.

    Hydra would hold a file of the tree to the plugin's entry of the same name, with a warning.
    """
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    Plugins.instance()  # imports the plugins, which make the entries
    stored = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
    for name in options("hydra/launcher"):
        stored.pop(f"{name}.yaml", None)


def no_option(group: str) -> ConfigError:
    """What is said of a group that is set to nothing."""
    known = options(group)
    return ConfigError(
        f"{group} is null; it takes the name of one of its options.",
        did_you_mean("", known) if known else "",
    )


def explain(error: Exception) -> ConfigError | None:
    """Hydra's or OmegaConf's error as one that names the nearest valid name, else None."""
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException

    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        # Hydra lists the options only where one is chosen, not where several are.
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = error.options or options(group)
        return ConfigError(f"There is no {group} named {name!r}.", did_you_mean(name, known))
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _unknown_key(cause)
    if isinstance(error, OverrideParseException):
        return ConfigError(
            f"The override {error.override} cannot be read.",
            "Close every bracket and quote. A value with a comma, bracket, quote or = in it is put "
            "into quotes twice, for the shell and for Hydra: \"data.path='a, b'\"",
        )
    if "Config group override must be a string or a list" in str(error):
        return no_option("A config group")
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
