"""What later reports compare with, against NumPy; sketches against the distances they stand for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from reportgen.core.measured import BINS, Sketch, bin_of, lower_edges
from reportgen.engine.rows import Engine
from reportgen.measurements import measured
from reportgen.methods.survey import Survey


@pytest.fixture(scope="module")
def lenets(lenet: Any, digits: Any) -> Any:
    """Of the embedded LeNet, a batch of seven at a time."""
    return measured(Survey(lenet, digits, Engine.local(7)))


def test_layers_against_numpy(lenets: Any, lenet: Any, digits: Any, numpy_lenet: Any) -> None:
    assert [layer.path for layer in lenets.layers] == [layer.path for layer in lenet.layers]
    seen = [numpy_lenet(digits.pixels[i].astype(np.float64) / 256) for i in range(200)]
    for path in ("conv1", "ip1"):
        own, answers = lenets.layer(path), np.stack([one[path] for one in seen])
        flat = answers.reshape(-1, answers.shape[-1])
        np.testing.assert_allclose(own.means, flat.mean(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(own.deviations, flat.std(axis=0), rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(own.sparsity, (flat <= 0).mean(axis=0), atol=1e-4)
        kernel, bias = (np.asarray(lenet.parameters[f"{path}.{n}"]) for n in ("kernel", "bias"))
        whole = np.concatenate([kernel.ravel(), bias]).astype(np.float64)
        assert own.norm == pytest.approx(np.linalg.norm(whole))
        units = kernel.reshape(-1, kernel.shape[-1])
        np.testing.assert_allclose(own.unit_norms, np.linalg.norm(units, axis=0), rtol=1e-6)
    dead = np.stack([one["ip1"] for one in seen]).max(axis=0) <= 0
    assert (lenets.layer("ip1").dead == dead).all()
    assert not lenets.layer("conv1").dead.any()
    # Every answer of a dense layer is counted.
    ip1 = lenets.layer("ip1")
    counted = np.bincount(bin_of(np.stack([one["ip1"] for one in seen])).ravel(), minlength=BINS)
    assert ip1.counts.sum() == counted.sum() == 200 * 500
    assert np.abs(np.bincount(ip1.bins, ip1.counts, BINS) - counted).sum() < 20  # float32


def test_a_sample_of_a_map_has_its_distribution(lenets: Any, numpy_lenet: Any, digits: Any) -> None:
    own = lenets.layer("conv1")
    answers = np.stack([numpy_lenet(digits.pixels[i] / 256)["conv1"] for i in range(200)])
    counted = np.bincount(bin_of(answers).ravel(), minlength=BINS)
    sampled = np.bincount(own.bins, own.counts, BINS)
    assert sampled.sum() < counted.sum()
    distance = np.abs(np.cumsum(sampled) / sampled.sum() - np.cumsum(counted) / counted.sum())
    assert distance.max() < 0.01


def test_images(lenets: Any, digits: Any) -> None:
    assert lenets.names == digits.names
    assert (lenets.labels == digits.labels).all()
    pixels = np.ascontiguousarray(digits.pixels[3])
    content = hashlib.sha256(f"{pixels.dtype.str} {pixels.shape}\n".encode() + pixels.tobytes())
    assert lenets.digests[3].tobytes() == content.digest()[:16]
    assert lenets.predicted.shape == lenets.probabilities.shape == (200, 5)
    assert (np.diff(lenets.probabilities) <= 0).all()
    assert (lenets.predicted[:, 0] == lenets.labels).mean() == pytest.approx(0.98)


def test_what_changes_and_what_does_not(lenets: Any, lenet: Any, digits: Any) -> None:
    kernel = lenet.parameters["conv2.kernel"]
    moved = kernel + 0.1 * jnp.std(kernel) * jnp.sign(jnp.sin(jnp.arange(kernel.size))).reshape(
        kernel.shape
    )
    other = lenet.with_parameters({**lenet.parameters, "conv2.kernel": moved})
    # Fewer images at once, on one device: nothing but rounding may differ.
    engine = Engine.local(3)
    changed = measured(Survey(other, digits, replace(engine, devices=engine.devices[:1])))
    for mine, theirs in zip(lenets.layers, changed.layers, strict=True):
        same = mine.path != "conv2"
        assert (mine.weights_sha256 == theirs.weights_sha256) == same
        assert (mine.sketch == theirs.sketch).all() == same
    before, after = lenets.layer("conv2"), changed.layer("conv2")
    distance = float(jnp.linalg.norm(moved - kernel))
    assert np.linalg.norm(after.sketch - before.sketch) == pytest.approx(distance, rel=0.07)
    np.testing.assert_allclose(
        changed.layer("conv1").means, lenets.layer("conv1").means, rtol=1e-5, atol=1e-7
    )


def test_sketches_keep_distances() -> None:
    draw = np.random.default_rng(0)
    ratios = []
    for _ in range(50):
        a, b = draw.normal(size=(2, 5000)) * draw.exponential(size=5000) ** 3
        one, two = Sketch(), Sketch()
        one.take(a)
        for part in np.split(b, [1024, 3072]):
            two.take(part)
        ratios.append(np.square(one.sums - two.sums).sum() / np.square(a - b).sum())
    assert np.mean(ratios) == pytest.approx(1, abs=0.03)
    assert 0.02 < np.std(ratios) < 0.09


def test_bins_ascend_with_their_numbers() -> None:
    values = np.array([-3e38, -2.0, -1.3, -1.2, -1e-45, -0.0, 0.0, 1e-45, 1.0, 1.2, 1.3, 3e38])
    bins = bin_of(values)
    assert (np.diff(bins) >= 0).all()
    assert bins[4] < bins[5] == bins[6] == bins[7]
    assert bins[8] == bins[9] < bins[10]
    finite = np.arange(5, 2044)
    assert (bin_of(lower_edges(finite)) == finite).all()
    assert (np.diff(lower_edges(finite)) > 0).all()
