"""A CPU as several devices."""

from __future__ import annotations

import jax

from reportgen.core.cores import cores
from reportgen.core.errors import ConfigError


def divide_cpu(count: int | None) -> None:
    """One device for each core, each with rows of its own: before JAX computes anything.

    XLA runs most of a network's operations on one core, whatever there are: only large convolutions
    and matrix products are divided.

    Args:
      count: devices; None for one a core, or as many as JAX was started with.

    Raises:
      ConfigError: if JAX has been started, by the program that calls this, with another count.
    """
    try:
        jax.config.update("jax_num_cpu_devices", count or cores())
    except RuntimeError as error:
        found = jax.local_device_count("cpu")
        if count not in (None, found):
            raise ConfigError(
                f"engine.cpu_devices is {count}, but JAX has been started in this process with "
                f"{found} on the CPU.",
                "Make the report before JAX computes anything, or leave engine.cpu_devices out.",
            ) from error
