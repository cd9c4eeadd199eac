"""What all attribution methods share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.images import Facts

KEYS = ("method.saliency.count=3",)


@pytest.fixture(scope="module")
def broken(lenet: Any) -> Any:
    """LeNet with an infinite weight in its second convolution."""
    bias = np.array(lenet.parameters["conv2.bias"])
    bias[0] = np.inf
    return lenet.with_parameters({**lenet.parameters, "conv2.bias": jnp.asarray(bias)})


def test_maps_that_are_not_finite_fail_and_name_the_first_layer(
    broken: Any, run_method: Any
) -> None:
    result = run_method("gradient_x_input", "method.gradient_x_input.count=3", model=broken)
    finding = result.findings[0]
    assert finding.severity == "fail"
    assert finding.where == "conv2"
    assert "3 of 3 maps" in finding.message


@pytest.fixture(scope="module")
def saliency(run_method: Any) -> Any:
    return run_method("saliency", *KEYS)


def test_blank_maps_are_said(lenet: Any, run_method: Any, saliency: Any) -> None:
    parameters = {
        name: jnp.asarray(np.zeros(v.shape, np.float32)) for name, v in lenet.parameters.items()
    }
    result = run_method("saliency", *KEYS, model=lenet.with_parameters(parameters))
    (finding,) = result.findings
    assert finding.severity == "warn"
    assert "3 of 3 maps have the same value everywhere" in finding.message
    assert saliency.findings == ()


class Held(np.ndarray):
    """Pixels that are all there."""

    def wait(self, count: int) -> int:
        return min(count, len(self))


# What draws random numbers, with keys that make it draw few.
RANDOM = {
    "smoothgrad": ("samples=3",),
    "rise": ("masks=20",),
    "integrated_gradients": ("baseline=random", "draws=2", "steps=3"),
}


@pytest.mark.parametrize("method", RANDOM)
def test_what_is_drawn_hangs_on_the_seed_and_the_images_name_alone(
    method: str, run_method: Any, digits: Any, averaged: Any
) -> None:
    """Not on the image's place, nor on the other images. Of equal seeds see test_contract.py."""
    keys = [f"method.{method}.{key}" for key in (*RANDOM[method], "count=4")]

    def maps(*more: str, **images: Any) -> np.ndarray:
        return np.asarray(run_method(method, *keys, *more, model=averaged, **images).explained.maps)

    first = maps()
    scale = np.abs(first).max()
    assert np.abs(first - maps("seed=1")).max() > 0.01 * scale
    places = [6, 3, 0, 2]
    facts = Facts(
        names=tuple(digits.names[i] for i in places),
        labels=digits.labels[places],
        sha256="",
        skipped=(),
    )
    pixels = digits.pixels[places].view(Held)
    others = maps(images=replace(digits, pixels=pixels, facts=lambda: facts))
    np.testing.assert_allclose(others[1:], first[places[1:]], rtol=0, atol=1e-4 * scale)


def test_seconds_are_told_unless_equal_files_are_wanted(saliency: Any, run_method: Any) -> None:
    assert dict(saliency.blocks[0].blocks[0].facts)["seconds per image"] > 0
    quiet = run_method("saliency", *KEYS, "report.timings=false")
    assert "seconds per image" not in dict(quiet.blocks[0].blocks[0].facts)


def test_the_maps_can_be_made_again_of_a_changed_model(
    lenet: Any, digits: Any, saliency: Any
) -> None:
    explained = saliency.explained
    rows = lenet.spec.normalise(digits.pixels[:3]), explained.targets, explained.keys
    np.testing.assert_array_equal(explained.explain(lenet, *rows), explained.maps)
    doubled = dict(lenet.parameters)
    doubled["ip2.kernel"] = jnp.asarray(2 * np.asarray(doubled["ip2.kernel"]))
    twice = explained.explain(lenet.with_parameters(doubled), *rows)
    np.testing.assert_allclose(twice, 2 * explained.maps, rtol=1e-4)


def test_side_by_side(run_method: Any, digits: Any, lenet: Any, saliency: Any) -> None:
    from reportgen.methods.side_by_side import side_by_side

    one = saliency.explained
    other = run_method("gradient_x_input", "method.gradient_x_input.count=2").explained
    groups = side_by_side({"a": one, "b": other}, digits, lenet.classes, "again")
    assert [group.title for group in groups] == list(digits.names[:2])
    (comparison,) = groups[1].blocks
    np.testing.assert_array_equal(comparison.image, digits.pixels[1])
    assert [part.title for part in comparison.maps] == ["Saliency", "Gradient × input"]
    np.testing.assert_array_equal(comparison.maps[1].map, other.maps[1])
    assert comparison.maps[1].low == -comparison.maps[1].high
    assert comparison.caption.override == "again"
    elsewhere = replace(other, targets=(other.targets + 1) % 10)
    (first, _) = side_by_side({"a": one, "b": elsewhere}, digits, lenet.classes, "")
    titles = [part.subtitle for part in first.blocks[0].maps]
    assert titles == [lenet.classes[int(m.targets[0])] for m in (one, elsewhere)]
