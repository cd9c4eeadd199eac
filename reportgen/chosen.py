"""Which methods a configuration asks for, with checked settings, and on which layers each works."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reportgen.compose import class_of
from reportgen.config import Config
from reportgen.core.errors import ConfigError, NotApplicableError
from reportgen.core.settings import parse
from reportgen.methods.base import Method
from reportgen.methods.faithfulness import MapTest
from reportgen.models.base import LayerInfo
from reportgen.models.select import select_layers


@dataclass(frozen=True)
class Chosen:
    """The methods that run.

    Attributes:
      methods: by name, in the order of the report.
      settings: their keys as the configuration has them.
      alone: the only method that was asked for, else empty. That one must apply; of several, those
        that do not are skipped.
      overrides: of a command line that chooses every method by itself.
    """

    methods: Mapping[str, Method]
    settings: Mapping[str, Mapping[str, Any]]
    alone: str
    overrides: Sequence[str]

    @property
    def makers(self) -> tuple[str, ...]:
        """Names of the methods that make maps."""
        return tuple(name for name, method in self.methods.items() if method.makes_maps)

    def command(self, methods: Sequence[str], *more: str) -> str:
        """The command line that makes the section of a method, or of several together."""
        keys = tuple(f"method.{method}." for method in methods)
        chosen = methods[0] if len(methods) == 1 else f"[{','.join(methods)}]"
        kept = [
            override
            for override in self.overrides
            if not override.startswith("method=")
            and (not override.startswith("method.") or override.startswith(keys))
            and override.partition("=")[0] not in {extra.partition("=")[0] for extra in more}
        ]
        return shlex.join(["reportgen", *kept, f"method={chosen}", *more])


def lasting(overrides: Sequence[str]) -> list[str]:
    """A command line without where the report goes: what makes an equal one."""
    return [o for o in overrides if not o.startswith(("report.dir=", "archive.", "hydra."))]


def chosen_methods(config: Config, overrides: Sequence[str]) -> Chosen:
    """The methods of a configuration, and those whose maps a chosen test needs.

    Args:
      overrides: the command line.

    Raises:
      ConfigError: if a method's settings are wrong.
    """
    asked = _asked(config, overrides)
    methods = {name: _method(keys, f"method.{name}") for name, keys in asked.items()}
    settings = {name: _settings(keys) for name, keys in asked.items()}
    own = lasting(overrides)
    tests = {name: method for name, method in methods.items() if isinstance(method, MapTest)}
    for name in tests:
        settings[name].pop("maps")
    if tests and not any(method.makes_maps for method in methods.values()):
        added = _makers(tests)
        made = {name: _method(keys, where) for name, (where, keys) in added.items()}
        for name, method in made.items():
            if not method.makes_maps:
                where = added[name][0]
                raise ConfigError(f"{where}: {name} makes no maps that could be tested.")
        # Before the first test, and in commands as if they had been chosen.
        place = list(methods).index(next(iter(tests)))
        names = [*list(methods)[:place], *made, *list(methods)[place:]]
        methods |= made
        methods = {name: methods[name] for name in names}
        settings |= {name: _settings(keys) for name, (_, keys) in added.items()}
        for name, (where, _) in added.items():
            own = [o.replace(f"{where}.", f"method.{name}.", 1) for o in own]
    return Chosen(methods, settings, next(iter(asked)) if len(asked) == 1 else "", own)


def _asked(config: Config, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The methods' keys, without what an experiment sets of methods that it would have chosen.

    The commands under pictures choose one method of an experiment's; the settings of its others
    are then of no use.
    """
    if not any(override.startswith("method=") for override in overrides):
        return config.method
    named = {o.lstrip("+").split(".")[1] for o in overrides if o.lstrip("+").startswith("method.")}
    return {n: keys for n, keys in config.method.items() if "_target_" in keys or n in named}


def _makers(tests: Mapping[str, MapTest]) -> dict[str, tuple[str, dict[str, Any]]]:
    """The methods that make maps for tests: where each stands in the configuration, its keys."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for test, method in tests.items():
        for name, keys in method.maps.items():
            where, first = found.setdefault(name, (f"method.{test}.maps.{name}", keys))
            if first != keys:
                raise ConfigError(
                    f"{where} and method.{test}.maps.{name} differ; all tests of a report test "
                    "the same maps.",
                    f"Choose the method itself: method=[{name},{','.join(tests)}]",
                )
    return found


def _settings(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if name != "_target_"}


def _method(keys: Mapping[str, Any], where: str) -> Method:
    cls = class_of(keys, where)
    if not issubclass(cls, Method):
        raise ConfigError(f"{where}._target_ {keys['_target_']!r} is no Method.")
    return parse(cls, _settings(keys), where)


def layers_for(
    name: str, chosen: Chosen, layers: tuple[LayerInfo, ...], patterns: tuple[str, ...]
) -> tuple[tuple[LayerInfo, ...], str]:
    """A method's layers, and why there are none.

    Args:
      patterns: the configuration's layers, for a method without its own.

    Raises:
      ModelError: if a pattern names no layer.
      NotApplicableError: if the method's own choice holds no layer that it can use.
    """
    method = chosen.methods[name]
    if not hasattr(method, "layers"):
        return (), ""
    own = method.layers
    taken = select_layers(layers, patterns if own is None else own)
    usable = tuple(layer for layer in taken if not method.rejects(layer))
    if usable:
        return usable, ""
    reason = f"{name} has no layer to work on: {method.rejects(taken[0])}."
    if own is not None or name == chosen.alone:
        fitting = [layer.path for layer in layers if not method.rejects(layer)]
        raise NotApplicableError(reason, f"It applies to: {', '.join(fitting) or 'none'}.")
    return (), reason
