"""The transfer_resnet152 experiment takes the weights of a network with 102 classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from reportgen.core.blocks import Heatmap

# As deep as the tests can afford; the names of the layers follow the same rule.
SMALL = ("model.kwargs.depth=18", "model.input.height=64", "model.input.width=64")
_LAST = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def _as_pytorch(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
    """A parameter by torchvision's name, in PyTorch's layout."""
    path, _, last = name.rpartition(".")
    if value.ndim == 4:
        value = value.transpose(3, 2, 0, 1)
    if value.ndim == 2:
        value = value.T
    return f"{path}.{_LAST.get(last, last)}", np.ascontiguousarray(value)


@pytest.fixture(scope="module")
def tensors(composed: Callable[..., Any]) -> dict[str, np.ndarray]:
    """What a person's training might have left."""
    from reportgen.pipeline import list_layers

    rng = np.random.default_rng(5)
    found = {}
    shapes = list_layers(composed("experiment=transfer_resnet152", *SMALL)).adapted.shapes
    for name, leaf in shapes.items():
        drawn = rng.normal(size=leaf.shape).astype(np.float32)
        if name.endswith("kernel"):
            drawn *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        elif name.endswith(("var", "scale")):
            drawn = 1 + 0.1 * np.abs(drawn)
        name, drawn = _as_pytorch(name, 0.1 * drawn if name.endswith(("bias", "mean")) else drawn)
        found[name] = drawn.astype(np.float32)
    return found


@pytest.fixture(scope="module")
def path(tensors: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "flowers.safetensors"
    save_file(tensors, path)
    return path


def test_the_whole_network_has_152_layers_and_102_outputs(composed: Callable[..., Any]) -> None:
    from reportgen.pipeline import list_layers

    network = list_layers(composed("experiment=transfer_resnet152"))
    layers = network.outline.layers
    # The name counts convolutions on the way and the dense layer, not the four projections.
    counted = [layer for layer in layers if layer.kind in ("conv", "dense")]
    assert len(counted) - len([x for x in counted if "downsample" in x.path]) == 152
    assert (layers[-1].path, layers[-1].shape) == ("fc", (102,))
    assert dict(layers[-1].parameters) == {"kernel": (2048, 102), "bias": (102,)}
    trained = 60_192_808 - 1000 * (2048 + 1) + 102 * (2048 + 1)
    statistics = network.adapted.statistics
    shapes = network.adapted.shapes
    assert sum(int(np.prod(s.shape)) for n, s in shapes.items() if n not in statistics) == trained


@pytest.fixture(scope="module")
def chosen(path: Path) -> tuple[str, ...]:
    return (*SMALL, "weights=file", f"weights.path={path}")


@pytest.fixture(scope="module")
def model(chosen: tuple[str, ...], opened: Callable[..., Any]) -> Any:
    return opened("experiment=transfer_resnet152", *chosen)


def test_a_head_of_102_classes_loads_from_a_file(model: Any, tensors: dict[str, Any]) -> None:
    assert len(model.classes) == 102
    assert tensors["fc.weight"].shape == (102, 512)
    assert model.parameters["fc.kernel"].shape == (512, 102)
    for name, value in model.parameters.items():
        there, drawn = _as_pytorch(name, np.asarray(value))
        np.testing.assert_array_equal(drawn, tensors[there])


@pytest.mark.slow
def test_a_report_tells_what_a_head_of_102_classes_answers(
    chosen: tuple[str, ...], model: Any, tensors: dict[str, Any], make: Callable[..., Any]
) -> None:
    made = make("transfer_resnet152", *chosen, "data.count=2", "method.saliency.count=1")
    assert not made.report.banners
    assert len(made.report.model.classes) == 102
    gallery = made.section("predictions").blocks[0]
    assert len(gallery.items) == 2
    x = model.spec.normalise(np.stack([item.image for item in gallery.items]))
    pooled = jax.jit(lambda model, x: model.apply(x)[1]["avgpool"])(model, x)
    for item, means in zip(gallery.items, np.asarray(pooled, np.float64), strict=True):
        logits = means @ tensors["fc.weight"].T + tensors["fc.bias"]
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        best = np.argsort(-shares)[:5]
        np.testing.assert_allclose([v for _, v in item.bars], shares[best], rtol=1e-2)
        assert item.bars[0][0] == str(best[0])


def test_a_file_of_another_head_is_refused(
    chosen: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path
) -> None:
    from reportgen import cli

    monkeypatch.chdir(tmp_path)
    wrong = (*chosen, "model.kwargs.classes=1000")
    assert cli.run(["experiment=transfer_resnet152", *wrong]) == 2
    told = capsys.readouterr().err
    assert "fc" in told
    assert "102" in told
    assert "1000" in told


@pytest.mark.slow
def test_the_whole_job_without_weights_runs_under_a_banner(make: Callable[..., Any]) -> None:
    made = make("transfer_resnet152", *SMALL, "data.count=2")
    assert "nothing in this report was learned" in made.report.banners[0]
    assert [s.method for s in made.report.sections if not s.skipped][:5] == [
        *("summary", "predictions", "weights", "saliency", "gradcam")
    ]
    for method in ("saliency", "gradcam"):
        maps = [blocks[0] for blocks in made.groups(method).values()]
        assert len(maps) == 2
        for heatmap in maps:
            assert isinstance(heatmap, Heatmap)
            assert heatmap.map.shape == (64, 64)
            assert np.isfinite(heatmap.map).all()
            assert heatmap.map.std() > 0
