"""The digits experiment draws and counts what DIGITS 2 did of one image."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reportgen.core.blocks import Histogram, KeyValues, Montage
from tests.experiments import classic

COLUMNS = {
    "conv1": 4,  # 20 maps: 5 × 4
    "pool1": 4,
    "conv2": 7,  # 50: 8 × 7
    "pool2": 7,
    "ip1": 22,  # 500: 23 × 22
    "relu1": 22,
    "ip2": 3,  # 10: 4 × 3
    "prob": 3,
}


@pytest.fixture(scope="module")
def made(make: Callable[..., Any]) -> Any:
    return make("digits")


@pytest.fixture(scope="module")
def outputs(made: Any, numpy_lenet: Any) -> dict[str, np.ndarray]:
    image = made.arrays("activations")["gallery/image"].astype(np.float64)
    found = dict(numpy_lenet(image / 256))
    shares = np.exp(found["ip2"] - found["ip2"].max())
    return {**found, "prob": shares / shares.sum()}


@pytest.mark.parametrize("layer", COLUMNS)
def test_activations(layer: str, made: Any, outputs: dict[str, np.ndarray]) -> None:
    picture, facts, histogram = made.groups("activations")[layer]
    assert [type(b) for b in (picture, facts, histogram)] == [Montage, KeyValues, Histogram]
    tiles = made.arrays("activations")[f"{layer}/montage/tiles"]
    values = outputs[layer]
    maps = values.transpose(2, 0, 1) if values.ndim == 3 else values[:, None, None]
    np.testing.assert_allclose(tiles, maps, rtol=1e-3, atol=1e-3)
    assert picture.columns == COLUMNS[layer]
    expected = classic.digits_montage(tiles, normalise=layer != "prob")
    drawn = made.picture(f"activations-{layer}-montage.webp")
    assert drawn.shape == expected.shape
    # Half a rounding error may lie on either side of a whole number.
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert (drawn == expected).mean() > 0.999
    classic.check_statistics(facts.pairs, tiles)
    classic.check_histogram(histogram.counts, histogram.edges, tiles)


@pytest.mark.parametrize(("layer", "columns"), [("conv1", 4), ("conv2", 32)])
def test_weights(layer: str, columns: int, made: Any, lenet: Any) -> None:
    kernel = np.asarray(lenet.parameters[f"{layer}.kernel"])
    tiles = kernel.transpose(3, 2, 0, 1).reshape(-1, 5, 5)
    picture = made.groups("weights")[layer][0]
    np.testing.assert_array_equal(made.arrays("weights")[f"{layer}/montage/tiles"], tiles)
    assert (picture.columns, picture.colormap) == (columns, "digits_jet")
    expected = classic.digits_montage(tiles)
    drawn = made.picture(f"weights-{layer}-montage.webp")
    assert drawn.shape == expected.shape
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    (histogram,) = (b for b in made.groups("weights")[layer] if isinstance(b, Histogram))
    classic.check_histogram(histogram.counts, histogram.edges, kernel)


def test_dense_weights_are_not_drawn_as_tiles(made: Any) -> None:
    for layer in ("ip1", "ip2"):
        assert not [b for b in made.groups("weights")[layer] if isinstance(b, Montage)]


def test_one_image_is_classified(made: Any, outputs: dict[str, np.ndarray]) -> None:
    (gallery,) = made.section("predictions").blocks
    (item,) = gallery.items
    best = np.argsort(-outputs["prob"])[:5]
    assert [name for name, _ in item.bars] == [str(i) for i in best]
    np.testing.assert_allclose(
        [share for _, share in item.bars], outputs["prob"][best], rtol=1e-3, atol=1e-4
    )


def test_the_command_under_a_picture_makes_it_again(made: Any, make: Callable[..., Any]) -> None:
    picture = made.groups("activations")["conv2"][0]
    name, experiment, *overrides = shlex.split(picture.caption.override)
    assert (name, experiment) == ("reportgen", "experiment=digits")
    again = make("digits", *overrides)
    assert [section.method for section in again.report.sections] == ["activations"]
    drawn = "activations-conv2-montage.webp"
    np.testing.assert_array_equal(again.picture(drawn), made.picture(drawn))


def test_fewer_tiles_where_there_is_less_room(make: Callable[..., Any]) -> None:
    """(60 // 6)² kernels of 5 × 5, in the range of what is left."""
    narrow = make("digits", "method=weights", "method.weights.max_side=60", "layers=conv2")
    tiles = narrow.arrays("weights")["conv2/montage/tiles"]
    assert len(tiles) == 100
    expected = classic.digits_montage(tiles, most=60)
    drawn = narrow.picture("weights-conv2-montage.webp")
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    (montage,) = (b for b in narrow.groups("weights")["conv2"] if isinstance(b, Montage))
    assert "the first 100 of 1,000 tiles" in montage.caption.detail


@pytest.mark.parametrize(
    "name",
    [
        "hot",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("rainbow", "winter", "simple", "white")
        ),
    ],
)
def test_another_colormap_of_digits(name: str, make: Callable[..., Any]) -> None:
    other = make("digits", f"colormap=digits_{name}", "method=weights", "layers=conv1")
    (montage, *_) = (b for b in other.groups("weights")["conv1"] if isinstance(b, Montage))
    assert montage.colormap == f"digits_{name}"
    assert (other.folder / "assets" / f"colorbar-digits-{name}.webp").is_file()


def test_an_unknown_colormap_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """DIGITS warned and drew jet."""
    from reportgen import cli

    monkeypatch.chdir(tmp_path)
    assert cli.run(["experiment=digits", "colormap=digits_rainbw"]) == 2
    assert "Did you mean digits_rainbow" in capsys.readouterr().err
