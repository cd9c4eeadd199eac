"""The health of layers, counted again in NumPy; what is linear is never called dead."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reportgen.config import read
from reportgen.core.blocks import Bars, Group, Table, Text
from reportgen.data.load import load_images


def blocks(result: Any) -> tuple[Any, ...]:
    """Of the group of health."""
    (group,) = (block for block in result.blocks if isinstance(block, Group))
    return group.blocks


def table(result: Any) -> dict[str, dict[str, Any]]:
    """Rows of the table of health, by layer."""
    (found,) = (block for block in blocks(result) if isinstance(block, Table))
    return {row[0]: dict(zip(found.columns, row, strict=True)) for row in found.rows}


@pytest.fixture(scope="module")
def five(composed: Any, lenet: Any) -> Any:
    """A few images."""
    return load_images(read(composed("data.count=5")).data, lenet.spec, lenet.classes, 0)


@pytest.fixture(scope="module")
def result(run_method: Any, five: Any) -> Any:
    return run_method("summary", images=five)


def test_lenet_against_numpy(result: Any, lenet: Any, five: Any, numpy_lenet: Any) -> None:
    rows = table(result)
    assert list(rows) == ["conv1", "conv2", "ip1", "ip2"]
    seen = [numpy_lenet(five.pixels[i].astype(np.float64) / 256) for i in range(5)]
    for path, row in rows.items():
        kernel = np.asarray(lenet.parameters[f"{path}.kernel"], np.float64)
        np.testing.assert_allclose(row["weights, RMS"], np.sqrt((kernel**2).mean()), rtol=1e-6)
        np.testing.assert_allclose(row["largest weight"], np.abs(kernel).max(), rtol=1e-6)
        assert row["weights not finite, share"] == row["outputs not finite, share"] == 0
        # Caffe's LeNet has a rectifier behind ip1 alone.
        outputs = np.stack([activations[path] for activations in seen])
        if path == "ip1":
            assert row["dead"] == (outputs.max(axis=0) <= 0).sum() > 0
            assert row["dead share"] == row["dead"] / 500
            np.testing.assert_allclose(row["zero share"], (outputs <= 0).mean(), atol=1e-3)
        else:
            assert row["dead"] is row["dead share"] is row["zero share"] is None


def test_what_is_not_finite_is_counted(run_method: Any, lenet: Any, five: Any) -> None:
    kernel = np.array(lenet.parameters["ip2.kernel"])
    kernel[:3, 0] = np.nan
    broken = lenet.with_parameters({**lenet.parameters, "ip2.kernel": jnp.asarray(kernel)})
    row = table(run_method("summary", model=broken, images=five))["ip2"]
    assert row["weights not finite, share"] == pytest.approx(3 / (500 * 10 + 10))
    assert row["outputs not finite, share"] == pytest.approx(0.1)
    assert np.isfinite(row["weights, RMS"])


def test_plots_have_the_numbers_of_the_table(result: Any) -> None:
    rows = table(result)
    outputs, weights = (block for block in blocks(result) if isinstance(block, Bars))
    assert outputs.names == ("ip1",)
    dead, zeros = (series.values for series in outputs.series)
    assert (dead[0], zeros[0]) == (rows["ip1"]["dead share"], rows["ip1"]["zero share"])
    assert weights.names == tuple(rows)
    assert list(weights.series[0].values) == [row["weights, RMS"] for row in rows.values()]


def test_without_images_weights_alone_are_told_of(
    run_method: Any, composed: Any, lenet: Any
) -> None:
    none = load_images(read(composed("data=none")).data, lenet.spec, lenet.classes, 0)
    result = run_method("summary", images=none)
    assert set(table(result)["conv1"]) == {
        *("layer", "kind", "units", "weights, RMS", "largest weight", "weights not finite, share")
    }
    assert len([block for block in blocks(result) if isinstance(block, Bars)]) == 1


class Net(nnx.Module):
    """One layer of each kind that has to be told apart."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        def conv() -> nnx.Conv:
            return nnx.Conv(4, 4, (3, 3), rngs=rngs)

        self.first = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.pooled, self.normed, self.smooth = conv(), conv(), conv()
        self.added, self.twice, self.shifted = conv(), conv(), conv()
        self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)
        self.hidden = nnx.Linear(4, 5, rngs=rngs)
        self.out = nnx.Linear(5, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.first(x))
        x = jax.nn.relu6(nnx.max_pool(self.pooled(x), (2, 2), (2, 2)))
        x = jax.nn.relu(self.norm(self.normed(x)))
        x = jax.nn.gelu(self.smooth(x))
        x = jax.nn.relu(x + self.added(x))
        x = jnp.where(self.twice(x) > 0, self.twice(x), 0)
        x = jax.nn.relu(self.shifted(x) + 0.1)
        return self.out(jax.nn.relu(self.hidden(x.mean((1, 2)))))


def test_units_are_called_dead_only_where_every_way_on_leads_through_a_rectifier(
    run_method: Any, model_of: Any, lenet: Any, five: Any
) -> None:
    model = model_of(lambda: Net(nnx.Rngs(0)), lenet.spec, lenet.classes)
    rows = table(run_method("summary", model=model, images=five))
    known = {path for path, row in rows.items() if row["dead"] is not None}
    assert known == {"first", "pooled", "normed", "norm", "hidden"}


def test_a_network_without_rectifiers_says_so(run_method: Any, model_of: Any, lenet: Any) -> None:
    class Smooth(nnx.Module):
        def __init__(self) -> None:
            self.out = nnx.Linear(28 * 28, 10, rngs=nnx.Rngs(0))

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.out(jax.nn.gelu(x.reshape(len(x), -1)))

    result = run_method("summary", model=model_of(Smooth, lenet.spec, lenet.classes))
    (note,) = (block for block in blocks(result) if isinstance(block, Text))
    assert note.text.startswith("No layer is rectified by ReLU")
    assert table(result)["out"]["dead"] is None
