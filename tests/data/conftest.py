"""Loading images as a configuration asks for it; what is not given is as in conf/data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reportgen.config import DataConfig
from reportgen.core.images import ImageBatch
from reportgen.core.spec import InputSpec
from reportgen.data.load import load_images

Load = Callable[..., ImageBatch]

_DEFAULTS: dict[str, Any] = {
    "count": None,
    "balanced": False,
    "classes": [],
    "files": [],
    "images": "auto",
    "labels": "auto",
    "max_pixels": 100_000,
}


@pytest.fixture
def load() -> Load:
    def run(
        source: str,
        path: Path | None = None,
        *,
        spec: InputSpec | None = None,
        classes: tuple[str, ...] = ("cat", "dog"),
        seed: int = 0,
        threads: int | None = 2,
        **changes: Any,
    ) -> ImageBatch:
        where = None if path is None else str(path)
        config = DataConfig(**{"source": source, "path": where, **_DEFAULTS, **changes})
        return load_images(
            config, spec or InputSpec(height=4, width=4, channels=3), classes, seed, threads
        )

    return run
