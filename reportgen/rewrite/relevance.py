"""Layer-wise relevance propagation as another derivative: what comes back is relevance.

Every operation on the way from the input gets a backward rule that shares the relevance of its
output among its inputs; running the rewritten program backwards from the scores then gives the
relevance of each pixel. A convolution or matrix product is one step with the bias and the batch
normalisation that follow it, so that a rule sees the weights that are in effect.

Bach et al.: On Pixel-Wise Explanations (2015); Montavon et al.: Layer-Wise Relevance Propagation:
An Overview (2019). Gates, softmax weights and normalising factors are taken as constants, as in
Arras et al. (2017) and Ali et al. (2022), arXiv:2202.07304.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from reportgen.core.errors import NotApplicableError
from reportgen.rewrite.inline import LOOPS, inlined, retraced
from reportgen.rewrite.interpreter import bind, shape_of
from reportgen.rewrite.marks import mark_p
from reportgen.rewrite.relevance_rules import (
    Chain,
    Rule,
    absorbed,
    product,
    proportional,
    proportional_sum,
    shared,
)

PRODUCTS = frozenset({"conv_general_dilated", "dot_general"})
# Every value of the output is one of the input's: the derivative moves relevance as it should.
_MOVES = frozenset(
    {"reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "concatenate", "slice"}
    | {"pad", "rev", "gather", "dynamic_slice", "convert_element_type", "copy", "layer", "split"}
    | {"reduce_window_max", "reduce_max", "reduce_min", "select_n", "sort", "stop_gradient"}
)
# One value in, one out.
_UNARY = frozenset(
    {"neg", "abs", "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "erf", "erfc"}
    | {"sqrt", "rsqrt", "square", "integer_pow", "cbrt", "sin", "cos", "sign", "floor", "round"}
)
_SUMS = frozenset({"reduce_sum", "reduce_window_sum", "cumsum", "cumlogsumexp"})
# Where a factor comes from that only turns the other one up or down.
_GATES = frozenset(
    {"logistic", "tanh", "erf", "erfc", "exp", "rsqrt", "sqrt", "div", "gt", "ge", "lt", "le"}
    | {"eq", "ne", "integer_pow", "pow", "sign"}
)
_LIMITS = frozenset({"max", "min", "clamp", "pow", "rem"})


@dataclass(frozen=True)
class RelevanceRule:
    """A program whose derivative is relevance; forward it is unchanged.

    Attributes:
      rules: from the input to the output; each is used by an equal share of the products.
      epsilon: what keeps sums off zero where no rule has one of its own.
    """

    rules: tuple[Rule, ...]
    epsilon: float

    def __call__(self, closed: ClosedJaxpr) -> ClosedJaxpr:
        """The program rewritten; it has no calls any more.

        Raises:
          NotApplicableError: at an operation that there is no rule for.
        """
        flat = inlined(closed)
        inputs = [False] * (len(flat.jaxpr.invars) - 1) + [True]
        count = sum(1 for _ in products(flat.jaxpr, inputs))
        return _Rewriter(self, count).program(flat, inputs)

    def at(self, place: int, count: int) -> Rule:
        """The rule of a product by its place among all, from the input."""
        return self.rules[place * len(self.rules) // max(count, 1)]


def products(jaxpr: Jaxpr, inputs: Sequence[bool]) -> Iterator[JaxprEqn]:
    """Convolutions and matrix products of the input with parameters.

    Args:
      inputs: for each input of the program, whether it depends on the image.
    """
    moving = moved(jaxpr, inputs)
    for eqn in jaxpr.eqns:
        if not any(_in(v, moving) for v in eqn.invars):
            continue
        for body, flags in _bodies(eqn, moving):
            yield from products(body.jaxpr, flags)
        if eqn.primitive.name in PRODUCTS and sum(_in(v, moving) for v in eqn.invars) == 1:
            yield eqn


def moved(jaxpr: Jaxpr, inputs: Sequence[bool]) -> set[Any]:
    """The variables of a program that depend on the image; whole numbers and truths are none."""
    moving = {v for v, flag in zip(jaxpr.invars, inputs, strict=True) if flag}
    for eqn in jaxpr.eqns:
        if any(_in(v, moving) for v in eqn.invars):
            moving |= {v for v in eqn.outvars if _is_real(v)}
    return moving


def _is_real(variable: Any) -> bool:
    return bool(jnp.issubdtype(variable.aval.dtype, jnp.floating))


def _in(variable: Any, moving: set[Any]) -> bool:
    return not isinstance(variable, Literal) and variable in moving


def _bodies(eqn: JaxprEqn, moving: set[Any]) -> list[tuple[ClosedJaxpr, list[bool]]]:
    """The bodies of a loop or branch, each with which of its inputs depend on the image."""
    flags = [_in(v, moving) for v in eqn.invars]
    name = eqn.primitive.name
    if name == "cond":
        return [(branch, flags[1:]) for branch in eqn.params["branches"]]
    if name == "scan":
        fixed, carried = eqn.params["num_consts"], eqn.params["num_carry"]
        # What is carried on depends on the image from the second round on, if not before.
        carry = [_is_real(v) for v in eqn.invars[fixed : fixed + carried]]
        return [(eqn.params["jaxpr"], flags[:fixed] + carry + flags[fixed + carried :])]
    return []


@dataclass
class _Rewriter:
    """One pass over a program.

    Attributes:
      count: products in all.
      place: of the next one.
    """

    rule: RelevanceRule
    count: int
    place: int = 0

    def program(self, closed: ClosedJaxpr, inputs: Sequence[bool]) -> ClosedJaxpr:
        jaxpr = closed.jaxpr
        moving = moved(jaxpr, inputs)
        chains = _chains(jaxpr, moving)
        within = {id(eqn) for chain in chains.values() for eqn in chain.eqns}
        made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars if v in moving}
        values: dict[Any, Any] = {}

        def run(eqn: JaxprEqn, read: list[Any]) -> list[Any] | None:
            for variable, value in zip(eqn.invars, read, strict=True):
                if not isinstance(variable, Literal):
                    values[variable] = value
            if not any(_in(v, moving) for v in eqn.invars):
                return None
            if eqn.primitive.name in LOOPS:
                return self._loop(eqn, read, moving)
            chain = chains.get(eqn.outvars[0])
            if chain is not None:
                return [self._product(chain, values)]
            if id(eqn) in within:
                return None  # for the marks in a chain; what it gives is computed there again
            return self._other(eqn, read, moving, made)

        return retraced(closed, run)

    def _product(self, chain: Chain, values: dict[Any, Any]) -> jax.Array:
        rule = self.rule.at(self.place, self.count)
        self.place += 1
        fixed = [values[v] for v in chain.fixed]
        return product(chain, rule, values[chain.source], fixed)

    def _loop(self, eqn: JaxprEqn, read: list[Any], moving: set[Any]) -> list[Any]:
        bodies = _bodies(eqn, moving)
        if not bodies:
            raise _no_rule(eqn)
        changed = tuple(self.program(body, flags) for body, flags in bodies)
        key = "branches" if eqn.primitive.name == "cond" else "jaxpr"
        value = changed if key == "branches" else changed[0]
        return bind(eqn.replace(params={**eqn.params, key: value}), read)

    def _other(
        self, eqn: JaxprEqn, read: list[Any], moving: set[Any], made: dict[Any, JaxprEqn]
    ) -> list[Any] | None:
        name, epsilon = eqn.primitive.name, self.rule.epsilon
        if name in _MOVES or not any(_in(v, moving) for v in eqn.outvars):
            return None  # also an index, or a truth
        data = [i for i, v in enumerate(eqn.invars) if _in(v, moving)]
        alone = len(data) == 1
        if name in _UNARY or (alone and name in _LIMITS):
            return [shared(eqn, (data[0],), read)]
        if name in ("max", "min"):
            return None  # the larger one, or the smaller one, takes it
        if name in _SUMS:
            return [proportional_sum(eqn, epsilon, read[0])]
        if name in ("add", "add_any", "sub"):
            sums = absorbed(eqn, data[0], epsilon, read) if alone else None
            return [proportional(eqn, epsilon, *read) if sums is None else sums]
        if name in ("mul", "div"):
            return [shared(eqn, self._signals(eqn, data, made), read)]
        if name in PRODUCTS:
            return self._two(eqn, read, made)
        raise _no_rule(eqn)

    def _signals(
        self, eqn: JaxprEqn, data: list[int], made: dict[Any, JaxprEqn]
    ) -> tuple[int, ...]:
        """Which factors take the relevance: a gate or a denominator takes none beside a signal."""
        if len(data) == 1:
            return (data[0],)
        if eqn.primitive.name == "div":
            return (0,)
        return tuple(i for i in data if not self._gate(eqn.invars[i], made)) or tuple(data)

    def _two(self, eqn: JaxprEqn, read: list[Any], made: dict[Any, JaxprEqn]) -> list[Any]:
        """A product of two values that depend on the image: attention."""
        gates = [i for i in (0, 1) if self._gate(eqn.invars[i], made)]
        if len(gates) != 1:
            # Queries times keys: only softmax looks at it, and its weights are constants.
            return [jax.lax.stop_gradient(value) for value in bind(eqn, read)]
        chain = Chain.of_product(eqn, 1 - gates[0])
        rule = Rule("epsilon", self.rule.epsilon)
        return [product(chain, rule, read[1 - gates[0]], [read[gates[0]]])]

    def _gate(self, variable: Any, made: dict[Any, JaxprEqn], depth: int = 12) -> bool:
        """Whether a factor only turns the other up or down: it comes from a sigmoid, say."""
        eqn = made.get(variable)
        if eqn is None or not depth:
            return False
        name = eqn.primitive.name
        if name in _GATES:
            return True
        if name in _MOVES or name in ("add", "mul", "sub", "max", "min", "neg"):
            before = [v for v in eqn.invars if not isinstance(v, Literal) and v in made]
            return len(before) == 1 and self._gate(before[0], made, depth - 1)
        return False


def _no_rule(eqn: JaxprEqn) -> NotApplicableError:
    return NotApplicableError(
        f"lrp has no rule for the operation {eqn.primitive.name} on values that depend on the "
        f"image, of shape {shape_of(eqn.outvars[0])}.",
        "Take integrated_gradients or gradcam, which need none.",
    )


def _chains(jaxpr: Jaxpr, moving: set[Any]) -> dict[Any, Chain]:
    """Products with what scales and shifts their output by channel, by the last output."""
    uses: dict[Any, list[JaxprEqn]] = {}
    for eqn in jaxpr.eqns:
        for variable in eqn.invars:
            if not isinstance(variable, Literal):
                uses.setdefault(variable, []).append(eqn)
    for variable in jaxpr.outvars:
        if not isinstance(variable, Literal):
            uses.setdefault(variable, []).extend([jaxpr.eqns[-1]] * 2)
    made = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    chains = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive.name not in PRODUCTS:
            continue
        data = [i for i in (0, 1) if _in(eqn.invars[i], moving)]
        if len(data) != 1:
            continue
        chain = Chain.of_product(eqn, data[0])
        while (following := _following(chain, uses, moving, made)) is not None:
            chain = chain.extended(following)
        chain = chain.without_last_marks()
        chains[chain.output] = chain
    return chains


def _following(
    chain: Chain, uses: dict[Any, list[JaxprEqn]], moving: set[Any], made: dict[Any, JaxprEqn]
) -> JaxprEqn | None:
    """The one operation that takes the output of a chain, if it may join it."""
    taking = uses.get(chain.output, [])
    if len(taking) != 1:
        return None
    eqn = taking[0]
    if eqn.primitive is mark_p:
        return eqn
    others = [v for v in eqn.invars if v is not chain.output]
    if shape_of(eqn.outvars[0]) != shape_of(chain.output) or any(_in(v, moving) for v in others):
        return None
    if eqn.primitive.name in ("add", "sub"):
        return eqn if eqn.invars[0] is chain.output or eqn.primitive.name == "add" else None
    scales = eqn.primitive.name == "mul" or (
        eqn.primitive.name == "div" and eqn.invars[0] is chain.output
    )
    return eqn if scales and all(_by_channel(v, chain, made) for v in others) else None


def _by_channel(variable: Any, chain: Chain, made: dict[Any, JaxprEqn]) -> bool:
    """Whether a factor is the same at all places of a channel."""
    if isinstance(variable, Literal) or not shape_of(variable):
        return True
    shape = shape_of(variable)
    axis = chain.channel_axis
    if axis is None:
        return False
    if all(side == 1 for i, side in enumerate(shape) if i != axis):
        return True
    eqn = made.get(variable)
    if eqn is None or eqn.primitive.name != "broadcast_in_dim":
        return False
    source = shape_of(eqn.invars[0])
    wide = [
        place
        for place, side in zip(eqn.params["broadcast_dimensions"], source, strict=True)
        if side != 1
    ]
    return wide in ([], [axis])
