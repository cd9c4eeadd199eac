"""Running what a test computes as one program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of arrays and Models returns, as NumPy arrays.

    One program compiles in less time than many, or than every operation on its own.
    """
    return jax.device_get(jax.jit(function)(*arguments))
