"""From what a network returns to the scores that are explained.

Scores are what gradients are taken of: logits, wherever they can be had. A network that ends in a
softmax or a sigmoid is taken at its input, which is found in the traced program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from reportgen.config import ScoreConfig
from reportgen.core.errors import ModelError, did_you_mean
from reportgen.rewrite.interpreter import CALLS, bodies


@dataclass(frozen=True, kw_only=True)
class Head:
    """How scores are read off a network's output. Hashable: static in jitted functions.

    Attributes:
      output: which part of a tuple or dictionary; empty if the network returns one array.
      ends_in: ``softmax``, ``log_softmax`` or ``sigmoid`` that is left out; empty for none.
      score: which scalar of the output is explained.
    """

    output: str
    ends_in: str
    score: ScoreConfig

    @property
    def words(self) -> str:
        """For the report: what the scores are."""
        kind = self.score.kind
        if kind == "norm":
            what = "L2 norm of the output"
        elif kind == "channel_mean":
            what = "mean of each output channel over all positions"
        elif kind == "pixel":
            place = "the centre" if self.score.row is None else f"row {self.score.row}"
            place += "" if self.score.column is None else f", column {self.score.column}"
            what = f"output channels at {place}"
        else:
            what = "logits"
        part = f" of output {self.output!r}" if self.output else ""
        before = f"the {self.ends_in} that the network ends in" if self.ends_in else "any softmax"
        return f"{what}{part}, before {before}"

    def scores(self, output: jax.Array) -> jax.Array:
        """(N, scores) from a network's output (N, …).

        Raises:
          ModelError: if the output is not of the shape that the score needs.
        """
        score, shape = self.score, output.shape[1:]
        if score.kind == "norm":
            return jnp.linalg.norm(output.reshape(output.shape[0], -1), axis=-1, keepdims=True)
        if score.kind == "logit":
            if len(shape) != 1:
                raise ModelError(
                    f"score=logit needs an output of one axis (classes,), found {shape}.",
                    "For a dense prediction choose score=channel_mean, or score=pixel "
                    "score.row=… score.column=…; for an embedding score=norm.",
                )
            return output
        if score.kind == "channel_mean":
            if len(shape) < 2:
                raise ModelError(
                    f"score=channel_mean needs an output (…, channels), found {shape}.",
                    "For a vector choose score=logit or score=norm.",
                )
            return output.mean(axis=tuple(range(1, output.ndim - 1)))
        if len(shape) != 3:
            raise ModelError(
                f"score=pixel needs an output (height, width, channels), found {shape}.",
                "For a vector choose score=logit or score=norm.",
            )
        row = shape[0] // 2 if score.row is None else score.row
        column = shape[1] // 2 if score.column is None else score.column
        if row >= shape[0] or column >= shape[1]:
            raise ModelError(
                f"score=pixel: there is no row {row}, column {column} in an output of {shape}.",
                f"Rows go from 0 to {shape[0] - 1}, columns from 0 to {shape[1] - 1}.",
            )
        return output[:, row, column, :]


def choose_output(returned: Any, name: str) -> jax.Array:
    """The array that a network is explained by.

    Args:
      returned: what it returns: an array, or a pytree of them.
      name: ``logits``, ``heads.classes``, ``0``, …; empty for the only array.

    Raises:
      ModelError: if there are several and none is chosen, or there is none of that name.
    """
    leaves = {
        ".".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path): v
        for path, v in jax.tree_util.tree_leaves_with_path(returned)
        if isinstance(v, jax.Array)
    }
    listed = ", ".join(f"{key or 'the output'} {v.shape[1:]}" for key, v in leaves.items())
    if name:
        if name not in leaves:
            raise ModelError(
                f"The network has no output {name!r}: it returns {listed or 'no array'}.",
                did_you_mean(name, [key for key in leaves if key]),
            )
        return leaves[name]
    if len(leaves) != 1:
        raise ModelError(
            f"The network returns {len(leaves)} arrays: {listed}."
            if leaves
            else f"The network returns no array but {type(returned).__name__}.",
            f"Choose one: model.output={next(iter(leaves))}" if leaves else "",
        )
    return next(iter(leaves.values()))


class Ending(NamedTuple):
    """A softmax or sigmoid at the end of a program: its input is operand ``operand`` of ``eqn``."""

    kind: str
    eqn: JaxprEqn
    operand: int


_TRANSPARENT = frozenset({"convert_element_type", "layer", "copy", "broadcast_in_dim", "reshape"})
_SAME_SHAPE = frozenset({"convert_element_type", "layer", "copy"})


def ending(jaxpr: Jaxpr) -> Ending | None:
    """The softmax, log-softmax or sigmoid that a program's first output comes from, if any."""
    made = {out: eqn for eqn in jaxpr.eqns for out in eqn.outvars}
    eqn = _through(made, jaxpr.outvars[0], _SAME_SHAPE)
    if eqn is None:
        return None
    name = eqn.primitive.name
    if name == "logistic":
        return Ending("sigmoid", eqn, 0)
    if name == "div":
        above = _through(made, eqn.invars[0])
        below = _through(made, eqn.invars[1])
        if above is None or below is None or above.primitive.name != "exp":
            return None
        if below.primitive.name == "reduce_sum" and _through(made, below.invars[0]) is above:
            return _shift(made, above, "softmax")
        return None
    if name == "sub":
        log = _through(made, eqn.invars[1])
        total = _through(made, log.invars[0]) if log and log.primitive.name == "log" else None
        if total is None or total.primitive.name != "reduce_sum":
            return None
        above = _through(made, total.invars[0])
        if above is not None and above.primitive.name == "exp":
            return _shift(made, above, "log_softmax")
        return None
    return _inside(eqn) if name in CALLS or name.startswith("custom_") else None


def _inside(eqn: JaxprEqn) -> Ending | None:
    body = next(bodies(eqn))
    found = ending(body)
    if found is None or not eqn.primitive.name.startswith("custom_"):
        return found
    # A custom derivative is not entered: its own input must be the one that is wanted.
    wanted = found.eqn.invars[found.operand]
    if wanted in body.invars:
        return Ending(found.kind, eqn, body.invars.index(wanted))
    return None


def _through(
    made: dict[Any, JaxprEqn], variable: Any, transparent: frozenset[str] = _TRANSPARENT
) -> JaxprEqn | None:
    """What made a value, past changes of type and shape."""
    while not isinstance(variable, Literal) and variable in made:
        eqn = made[variable]
        if eqn.primitive.name not in transparent:
            return eqn
        variable = eqn.invars[0]
    return None


def _shift(made: dict[Any, JaxprEqn], exp: JaxprEqn, kind: str) -> Ending:
    """The input of a softmax: before its maximum is subtracted, if it is."""
    shifted = made.get(exp.invars[0])
    if shifted is not None and shifted.primitive.name == "sub":
        return Ending(kind, shifted, 0)
    return Ending(kind, exp, 0)
