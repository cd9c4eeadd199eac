"""The table of layers: every parameter of a network stands in it once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from flax import nnx

from reportgen.core.spec import InputSpec
from reportgen.methods.summary import layer_table
from reportgen.models.base import Model

SPEC = InputSpec(height=8, width=8, channels=3)


class Rooted(nnx.Module):
    """Parameters of its own, of a module that is never called, and batch statistics."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.token = nnx.Param(jnp.zeros((1, 4)))
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.table = nnx.Embed(5, 4, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.norm(self.conv(x)).mean((1, 2)) + self.token[...]
        return x @ self.table.embedding[...].T


class LinenRooted(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        token = self.param("token", nn.initializers.zeros, (1, 4))
        x = nn.Conv(4, (3, 3), name="conv")(x)
        x = nn.BatchNorm(use_running_average=True, name="norm")(x)
        return x.mean((1, 2)) + token


def _table(model: Model) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    table = layer_table(model.layers, model.parameters, model.statistics, model.flops)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return rows, dict(zip(table.columns, table.totals, strict=True)), table.caption


@pytest.mark.parametrize(("network", "unowned"), [(Rooted, 4 + 20), (LinenRooted, 4)])
def test_parameters_of_no_layer_are_in_the_table_and_statistics_are_told_apart(
    network: Any, unowned: int, model_of: Any
) -> None:
    model = model_of(network, SPEC)
    rows, totals, caption = _table(model)
    assert (rows[0]["layer"], rows[0]["parameters"]) == ("(network)", unowned)
    assert "token 1×4" in rows[0]["parameter shapes"]
    norm = next(row for row in rows if row["layer"] == "norm")
    assert (norm["parameters"], norm["statistics"]) == (8, 8)
    trained = unowned + 3 * 3 * 3 * 4 + 4 + 8
    assert totals["parameters"] == sum(row["parameters"] for row in rows) == trained
    assert totals["statistics"] == sum(row["statistics"] for row in rows) == 8
    assert trained + 8 == model.parameter_count == sum(v.size for v in model.parameters.values())
    assert "(network): parameters that are in none of its layers." in caption


def test_a_network_without_either_has_no_word_of_them(lenet: Any) -> None:
    rows, totals, caption = _table(lenet)
    assert rows[0]["layer"] == "conv1"
    assert "statistics" not in totals
    assert "(network)" not in caption
    assert totals["parameters"] == 431_080


def test_shapes_with_channels_first_and_a_batch(lenet: Any) -> None:
    parts = lenet.layers, lenet.parameters, lenet.statistics, lenet.flops
    table = layer_table(*parts, "nchw", 50)
    rows = {row[0]: row[2:4] for row in table.rows}
    assert rows["conv2"] == ("50 × 50 × 8 × 8", "bias 50, kernel 50×20×5×5")
    assert rows["ip1"] == ("50 × 500", "bias 500, kernel 500×800")
    assert [row[4:] for row in table.rows] == [row[4:] for row in layer_table(*parts).rows]
