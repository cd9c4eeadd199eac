"""Evaluation mode: the arguments by which users' own ``__call__`` methods are told of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

_OFF: dict[str, bool] = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
    "inference": True,
}


def evaluation_arguments(call: Callable[..., Any]) -> dict[str, Any]:
    """Keyword arguments that set evaluation mode, of those that a function takes."""
    try:
        taken = inspect.signature(call).parameters
    except (TypeError, ValueError):
        return {}
    return {name: value for name, value in _OFF.items() if name in taken}


def in_words(arguments: dict[str, bool], *more: str) -> str:
    """For the report: how evaluation mode was set."""
    called = ", ".join(f"{name}={value}" for name, value in arguments.items())
    parts = [*more, *([f"called with {called}"] if called else [])]
    return "; ".join(parts)
