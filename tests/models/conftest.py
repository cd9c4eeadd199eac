"""A user's network opened as the program opens it, once for each test file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from .networks import keras_undrawn


@pytest.fixture
def undrawn() -> Iterator[None]:
    with keras_undrawn():
        yield


@pytest.fixture(scope="module")
def opened_once(request: pytest.FixtureRequest, model_of: Callable[..., Any]) -> Callable[..., Any]:
    """A Model of what a factory returns, for the input ``SPEC`` of the test's own file."""

    @cache
    def make(made: Callable[..., Any], output: str = "") -> Any:
        return model_of(made, request.module.SPEC, output=output)

    return make
