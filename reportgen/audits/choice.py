"""Which checks a configuration asks for, with checked settings."""

from __future__ import annotations

from collections.abc import Mapping

from reportgen.audits.base import Audit
from reportgen.compose import class_of
from reportgen.config import AuditConfig
from reportgen.core.errors import ConfigError
from reportgen.core.settings import parse


def chosen_audits(config: AuditConfig) -> dict[str, Audit]:
    """The checks of a configuration, by name.

    Raises:
      ConfigError: if a check's settings are wrong.
    """
    found = {}
    for name, keys in config.checks.items():
        where = f"audit.{name}"
        if not isinstance(keys, Mapping):
            raise ConfigError(
                f"{where} is {keys!r}; it takes keys of its own.",
                f"Choose checks with audit=[{name}], and set one's key with {where}.KEY=…",
            )
        cls = class_of(keys, where)
        if not issubclass(cls, Audit):
            raise ConfigError(f"{where}._target_ {keys['_target_']!r} is no Audit.")
        own = {key: value for key, value in keys.items() if key != "_target_"}
        found[name] = parse(cls, own, where)
    return found
