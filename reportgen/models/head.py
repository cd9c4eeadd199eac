"""From what a network returns to the scores that are explained.

Scores are what gradients are taken of: logits, wherever they can be had. A network that ends in a
softmax or a sigmoid is taken at its input, which is found in the traced program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from reportgen.config import ScoreConfig
from reportgen.core.errors import ModelError, did_you_mean
from reportgen.rewrite.compat import CALLS, Jaxpr, JaxprEqn, Literal, bodies
from reportgen.rewrite.interpreter import shape_of


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
        if output.ndim == 0 or (output.ndim == 1 and score.kind != "norm"):
            raise ModelError(
                f"The network returns an array of shape {output.shape}; (N, classes) is expected, "
                "a row of scores for each of N images.",
                "Return the scores before they are summed up; of a single score for each image, "
                "(N, 1).",
            )
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
                did_you_mean(name, [key for key in leaves if key])
                or ("Leave model.output= out: there is but one." if leaves else ""),
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
    """A softmax or sigmoid at the end of a program.

    Attributes:
      kind: ``softmax``, ``log_softmax`` or ``sigmoid``.
      place: the operation that takes its input, inside of those before it in turn. A jitted
        function that is called twice has the same operations in both calls.
      operand: which operand of that operation is its input.
    """

    kind: str
    place: tuple[JaxprEqn, ...]
    operand: int


_SAME_SHAPE = frozenset({"convert_element_type", "layer", "copy", "stop_gradient"})
_TRANSPARENT = _SAME_SHAPE | {"broadcast_in_dim", "reshape", "squeeze"}


def ending(jaxpr: Jaxpr, output: int = 0) -> Ending | None:
    """The softmax, log-softmax or sigmoid that an output of a program comes from, if any."""
    end = _End({out: eqn for eqn in jaxpr.eqns for out in eqn.outvars})
    variable, eqn = end.made_by(jaxpr.outvars[output], _SAME_SHAPE)
    if eqn is None:
        return None
    name = eqn.primitive.name
    if name == "logistic":
        return Ending("sigmoid", (eqn,), 0)
    if name == "div":
        return end.quotient(eqn)
    if name == "sub":
        return end.difference(eqn)
    if name in CALLS or name.startswith("custom_"):
        return _inside(eqn, eqn.outvars.index(variable))
    return None


def _inside(eqn: JaxprEqn, output: int) -> Ending | None:
    body = next(bodies(eqn))
    found = ending(body, output)
    if found is None or not eqn.primitive.name.startswith("custom_"):
        return found and found._replace(place=(eqn, *found.place))
    # A custom derivative is not entered: its own input must be the one that is wanted.
    wanted = found.place[0].invars[found.operand]
    if wanted in body.invars:
        return Ending(found.kind, (eqn,), body.invars.index(wanted))
    return None


class _End:
    """The end of a program, read backwards.

    Args:
      made: what makes each value.
    """

    def __init__(self, made: dict[Any, JaxprEqn]) -> None:
        self.made = made

    def made_by(
        self, variable: Any, transparent: frozenset[str] = _TRANSPARENT
    ) -> tuple[Any, JaxprEqn | None]:
        """A value and what made it, past changes of type and shape."""
        while not isinstance(variable, Literal) and variable in self.made:
            eqn = self.made[variable]
            if eqn.primitive.name not in transparent:
                return variable, eqn
            variable = eqn.invars[0]
        return variable, None

    def quotient(self, eqn: JaxprEqn) -> Ending | None:
        """``exp(x) / sum(exp(x))``"""
        exponential, _ = self.made_by(eqn.invars[0])
        exp, axes = self._sum_of_exp(eqn.invars[1])
        if exp is None or exponential is not exp.outvars[0]:
            return None
        return self._unshifted(exp, axes, "softmax")

    def difference(self, eqn: JaxprEqn) -> Ending | None:
        """``x - log(sum(exp(x)))``, or ``x - (log(sum(exp(x - m))) + m)`` of ``logsumexp``."""
        logarithm = self._made("log", eqn.invars[1])
        if logarithm is None and (total := self._made("add", eqn.invars[1])):
            logarithm = self._made("log", total.invars[0]) or self._made("log", total.invars[1])
        if logarithm is None:
            return None
        exp, axes = self._sum_of_exp(logarithm.invars[0])
        if exp is None:
            return None
        x, _ = self.made_by(eqn.invars[0], _SAME_SHAPE)
        if x is self.made_by(exp.invars[0], _SAME_SHAPE)[0]:  # both are shifted, or neither
            return self._unshifted(eqn, axes, "log_softmax")
        shift = self._shift(exp.invars[0], axes)
        if shift is not None and x is self.made_by(shift.invars[0], _SAME_SHAPE)[0]:
            return Ending("log_softmax", (eqn,), 0)
        return None

    def _made(self, name: str, variable: Any) -> JaxprEqn | None:
        """The operation of this name that made a value."""
        _, eqn = self.made_by(variable)
        return eqn if eqn is not None and eqn.primitive.name == name else None

    def _sum_of_exp(self, variable: Any) -> tuple[JaxprEqn | None, tuple[int, ...]]:
        """The exponential whose sum a value is, and the axes that it is summed over."""
        positive = self._made("abs", variable)
        total = self._made("reduce_sum", positive.invars[0] if positive else variable)
        if total is None or 0 in total.params["axes"]:  # over the batch it is no softmax
            return None, ()
        return self._made("exp", total.invars[0]), tuple(total.params["axes"])

    def _shift(self, variable: Any, axes: tuple[int, ...]) -> JaxprEqn | None:
        """What subtracts from a value the same along the axes of a softmax, which leaves that as
        it is: its maximum, in practice.
        """
        eqn = self._made("sub", variable)
        if eqn is None or isinstance(eqn.invars[1], Literal):
            return eqn
        shape = shape_of(eqn.invars[1])
        return eqn if all(shape[axis] == 1 for axis in axes) else None

    def _unshifted(self, eqn: JaxprEqn, axes: tuple[int, ...], kind: str) -> Ending:
        return Ending(kind, (self._shift(eqn.invars[0], axes) or eqn,), 0)
