"""The sanity check: what is shuffled, the correlation, and known results on LeNet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import spearmanr

from reportgen.methods.base import fold_in_name
from reportgen.methods.sanity_check import (
    depths,
    mean,
    randomised,
    weighted,
)
from tests.methods.small_networks import scored
from tests.peers.attribution import SMALL_SPEC, Small

COUNT = "method.sanity_check.count=3"


def test_blank_maps_are_left_out_of_means() -> None:
    assert mean(np.array([0.25, np.nan, 0.75])) == 0.5
    assert mean(np.array([np.nan])) == 0


def test_stages_are_even_and_end_with_all_layers() -> None:
    assert depths(4, 8) == (1, 2, 3, 4)
    assert depths(26, 6) == (1, 6, 11, 16, 21, 26)
    assert depths(9, 2) == (1, 9)
    assert depths(1, 5) == (1,)


def test_layers_are_shuffled_from_the_output_on_and_each_by_itself(model_of: Any) -> None:
    model = model_of(lambda: Small(rngs=nnx.Rngs(0)), SMALL_SPEC)
    counted = {
        name: jnp.asarray(np.arange(1, 1 + v.size, dtype=np.float32).reshape(v.shape))
        for name, v in model.parameters.items()
    }
    model = model.with_parameters(counted)
    assert [layer.path for layer in weighted(model)] == [
        "fc2",
        "fc1",
        "bn2",
        "conv2",
        "bn1",
        "conv1",
    ]
    key = jax.random.key(1)
    after = list(randomised(model, (1, 3, 6), key))
    for stage, touched in zip(after, ({"fc2"}, {"fc2", "fc1", "bn2"}, None), strict=True):
        for name, values in stage.parameters.items():
            old = counted[name]
            changed = touched is None or name.rpartition(".")[0] in touched
            assert np.array_equal(values, old) != changed, name
            np.testing.assert_array_equal(np.sort(values, axis=None), np.sort(old, axis=None))
            assert (values.shape, values.dtype) == (old.shape, old.dtype)
    last = after[-1].parameters
    # The same size, and not the same order: no two parameters share random numbers.
    assert not np.array_equal(last["bn1.scale"], last["bn1.bias"])
    assert not np.array_equal(last["bn1.var"], last["bn1.mean"])
    np.testing.assert_array_equal(last["fc2.kernel"], after[0].parameters["fc2.kernel"])
    again = next(randomised(model, (6,), key)).parameters
    for name, values in last.items():
        np.testing.assert_array_equal(values, again[name])
    other = next(randomised(model, (6,), jax.random.key(2))).parameters
    assert not np.array_equal(other["fc1.kernel"], last["fc1.kernel"])


def test_rounds_of_a_scan_are_layers_of_their_own(model_of: Any, lenet: Any) -> None:
    class Block(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv = nnx.Conv(1, 1, (3, 3), rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return nnx.relu(self.conv(x))

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            make = nnx.split_rngs(splits=3)(nnx.vmap(Block, in_axes=0, out_axes=0))
            self.blocks = make(rngs)
            self.out = nnx.Linear(1, 10, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            def step(x: jax.Array, block: Block) -> jax.Array:
                return block(x)

            x = nnx.scan(step, in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.blocks)
            return self.out(x.mean((1, 2)))

    model = model_of(lambda: Net(nnx.Rngs(0)), lenet.spec)
    name = next(n for n in model.parameters if n.endswith("conv.kernel"))
    assert model.parameters[name].shape[0] == 3
    layers = weighted(model)
    rounds = [layer.round for layer in layers if name in layer.names]
    assert sorted(rounds) == [0, 1, 2]
    for depth, stage in enumerate(
        randomised(model, range(1, len(layers) + 1), jax.random.key(0)), 1
    ):
        touched = {layer.round for layer in layers[:depth] if name in layer.names}
        before, after = (np.asarray(m.parameters[name]) for m in (model, stage))
        differ = (after != before).any(axis=(1, 2, 3, 4))
        assert {int(turn) for turn in np.flatnonzero(differ)} == touched


def test_correlations_are_those_of_maps_made_by_hand(
    lenet: Any, digits: Any, run_method: Any, explained: dict[str, Any]
) -> None:
    result = run_method("sanity_check", COUNT, maps=explained)
    key = fold_in_name(jax.random.key(0), "sanity_check")
    x = lenet.spec.normalise(digits.pixels[:3])
    targets = np.asarray(scored(lenet, x)).argmax(axis=-1)
    slope = jax.jit(jax.grad(lambda x, m: m.apply(x)[0][np.arange(3), targets].sum(), argnums=0))

    def maps(model: Any) -> np.ndarray:
        return np.abs(np.asarray(slope(x, model))).max(axis=-1)

    curve = next(block for block in result.blocks if block.type == "curve")
    line = next(series for series in curve.series if series.name == "Saliency")
    expected = [1.0]
    for model in randomised(lenet, (1, 2, 3, 4), key):
        pairs = zip(maps(lenet), maps(model), strict=True)
        expected.append(np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs]))
    np.testing.assert_array_equal(line.x, range(5))
    np.testing.assert_allclose(line.y, expected, atol=2e-3)
    assert result.metrics["Saliency: rank correlation, weights shuffled ↓"] == line.y[-1]
    stages = result.blocks[3]
    assert [row[1] for row in stages.rows] == ["ip2", "ip1", "conv2", "conv1"]
    np.testing.assert_allclose([row[2] for row in stages.rows], line.y[1:])
    means = np.mean([dict(result.evidence["saliency", i]).popitem()[1] for i in range(3)])
    assert means == pytest.approx(line.y[-1])


def test_gradients_depend_on_the_last_layer_and_guided_ones_less(run_method: Any) -> None:
    result = run_method(
        "sanity_check", maps=("saliency", "guided_backprop", "gradcam", "gradient_x_input")
    )
    summary = {row[0]: row for row in result.blocks[2].rows}
    assert summary["Saliency"][1] < 0.6
    assert summary["Grad-CAM"][1] < 0.3
    assert summary["Guided backpropagation"][1] > summary["Saliency"][1] + 0.1
    # The input's own zeros order the absolute values; the signs are lost.
    told = {finding.where: finding for finding in result.findings}
    assert set(told) == {"gradient_x_input"}
    assert summary["Gradient × input"][2] > 0.8
    assert abs(summary["Gradient × input"][3]) < 0.2
    assert (
        f"{summary['Gradient × input'][3]:.4g} with their signs" in told["gradient_x_input"].message
    )


def test_a_map_of_the_image_alone_is_told(
    run_method: Any, explained: dict[str, Any], lenet: Any, digits: Any
) -> None:
    made = explained["saliency"]

    def edges(model: Any, x: Any, targets: Any, keys: Any) -> np.ndarray:
        return np.abs(np.asarray(x)).max(axis=-1)

    pixels = lenet.spec.normalise(digits.pixels[: len(made.maps)])
    fake = replace(made, explain=edges, maps=edges(None, pixels, None, None))
    result = run_method("sanity_check", maps={"edges": fake})
    (finding,) = result.findings
    assert finding.severity == "warn"
    assert finding.value == pytest.approx(1)
    assert finding.threshold == 0.5
    patient = "method.sanity_check.threshold=1.0"
    assert run_method("sanity_check", patient, maps={"edges": fake}).findings == ()


def test_blank_maps_are_counted_and_left_out(run_method: Any, explained: dict[str, Any]) -> None:
    made = explained["saliency"]

    def first_only(model: Any, x: Any, targets: Any, keys: Any) -> np.ndarray:
        return np.concatenate([made.maps[:1], np.zeros_like(made.maps[1:])])

    result = run_method("sanity_check", maps={"half": replace(made, explain=first_only)})
    row = result.blocks[1].rows[0]
    assert row[2] == pytest.approx(1)
    assert row[-2:] == (6, 5)
    assert [cells[1] for cells in result.blocks[4].rows] == [pytest.approx(1), *[None] * 5]
    assert result.evidence["half", 1][0][1] == "none: a blank map"


def test_correlations_do_not_depend_on_the_size_of_batches(run_method: Any) -> None:
    one, other = (run_method("sanity_check", COUNT, f"engine.batch={batch}") for batch in (2, 16))
    assert one.metrics
    assert set(one.evidence) == {(m, i) for m in ("saliency", "gradcam") for i in range(3)}
    for name, value in one.metrics.items():
        assert value == pytest.approx(other.metrics[name], abs=2e-3)


def test_no_stage_compiles_the_maps_again(run_method: Any) -> None:
    run_method("sanity_check", "method.sanity_check.stages=1")
    compiled: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        run_method("sanity_check", "method.sanity_check.stages=4")
        run_method("sanity_check", COUNT)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compiled == []
