"""Reports made by hand of what was measured, for tests of what compares two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reportgen.core.blocks import Caption, Group, Heatmap
from reportgen.core.measured import Measured
from reportgen.core.report import DataCard, ModelCard, Provenance, Report, Section

DIGITS = tuple("0123456789")


def report(
    measured: Measured | None,
    *sections: Section,
    classes: tuple[str, ...] = DIGITS,
    title: str = "Report on net",
    **fields: Any,
) -> Report:
    """A report that says this of its network and images, and nothing else."""
    return Report(
        title=title,
        model=ModelCard(
            name="net",
            architecture="test:net",
            framework="none",
            evaluation="",
            layers=0,
            parameters=0,
            flops=0,
            input="8 × 8 × 1",
            preprocessing="",
            weights="weights.safetensors",
            weights_sha256="0123456789abcdef" * 4,
            weights_random=False,
            scores="logits",
            classes=classes,
        ),
        data=DataCard(source="images/", count=0, labelled=True, sha256="", skipped=()),
        provenance=Provenance(
            reportgen="0",
            python="3",
            packages={},
            device="none",
            seed=fields.pop("seed", 0),
            config_sha256="",
            git_commit="",
            git_dirty=None,
            created="",
        ),
        metrics={},
        findings=fields.pop("findings", ()),
        sections=sections,
        command="reportgen",
        measured=measured,
        **fields,
    )


def maps(
    method: str, images: Sequence[int], shown: Sequence[np.ndarray], subtitle: str = "class 1"
) -> Section:
    """A section of a method that explains images, each known by a number."""
    groups = [
        Group(
            title=f"image-{number}",
            subtitle=subtitle,
            blocks=(
                Heatmap(
                    image=np.full((*heat.shape, 1), number, np.uint8),
                    map=heat,
                    low=0.0,
                    high=1.0,
                    colormap="viridis",
                    caption=Caption(title=f"{method} of image-{number}"),
                ),
            ),
        )
        for number, heat in zip(images, shown, strict=True)
    ]
    return Section(method=method, title=method, blocks=tuple(groups))
