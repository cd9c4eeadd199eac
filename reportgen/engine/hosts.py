"""Several hosts that make one report together."""

from __future__ import annotations

import jax

from reportgen.config import HostsConfig
from reportgen.core.errors import ConfigError


def join_hosts(hosts: HostsConfig | str | None) -> None:
    """Meet the other hosts, before anything is computed.

    Args:
      hosts: who they are; ``auto`` to find them by a cluster's variables; None for this one alone.

    Raises:
      ConfigError: if they cannot be found, or do not come.
    """
    if hosts is None or jax.distributed.is_initialized():
        return
    try:
        if isinstance(hosts, HostsConfig):
            jax.distributed.initialize(
                coordinator_address=hosts.coordinator,
                num_processes=hosts.count,
                process_id=hosts.number,
            )
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"The hosts of engine.hosts did not meet: {str(error).splitlines()[0]}",
            "On a cluster without its own variables name them on each host: "
            "'engine.hosts={coordinator: FIRST:PORT, count: 2, number: 0}'",
        ) from error
