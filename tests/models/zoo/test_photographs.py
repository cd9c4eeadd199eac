"""Published weights and photographs, where a folder ``shared`` with them lies beside us."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4] / "shared"
WEIGHTS = SHARED / "models" / "squeezenet1_0.safetensors"
LABELS = SHARED / "models" / "imagenet_labels.json"
PHOTOGRAPHS = SHARED / "images" / "imagenet24"


@pytest.mark.slow
@pytest.mark.skipif(
    not (WEIGHTS.is_file() and LABELS.is_file() and PHOTOGRAPHS.is_dir()),
    reason="needs SqueezeNet's published weights and 24 photographs in ../shared",
)
def test_squeezenet_knows_what_is_on_photographs(
    reportgen: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """14 and 18 of 24, as PyTorch counts; 63 % and 84 % are published over a thousand."""
    names = json.loads(LABELS.read_text())
    rows = ["path,label"]
    for photograph in sorted(PHOTOGRAPHS.iterdir()):
        label = names.index(photograph.stem.partition("_")[2])
        rows.append(f"{photograph},{label}")
    (tmp_path / "photographs.csv").write_text("\n".join(rows))
    code, _, error = reportgen(
        "model=squeezenet1_0",
        f"weights.path={WEIGHTS}",
        f"model.classes={LABELS}",
        "preprocessing=unit",
        "model.input.scale=1",
        "model.input.mean=[123,117,104]",
        "model.input.height=227",
        "model.input.width=227",
        "data=csv",
        "data.path=photographs.csv",
        "method=predictions",
        "report.dir=out",
    )
    assert code == 0, error
    metrics = json.loads((tmp_path / "out" / "results.json").read_text())["metrics"]
    assert metrics["accuracy"] == pytest.approx(14 / 24)
    assert metrics["top-5 accuracy"] == pytest.approx(18 / 24)
