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

from reportgen.core.errors import NotApplicableError
from reportgen.rewrite.compat import (
    ClosedJaxpr,
    Jaxpr,
    JaxprEqn,
    Literal,
    bind,
    called,
    jaxpr_as_fun,
    scan_inputs,
)
from reportgen.rewrite.inline import LOOPS, inlined, retraced
from reportgen.rewrite.interpreter import shape_of
from reportgen.rewrite.marks import mark_p
from reportgen.rewrite.relevance_rules import (
    Chain,
    Rule,
    absorbed,
    as_relevance,
    bilinear,
    product,
    proportional,
    proportional_sum,
    shared,
)
from reportgen.rewrite.signs import never_negative

PRODUCTS = frozenset({"conv_general_dilated", "dot_general"})
# Every value of the output is one of the input's: the derivative moves relevance as it should.
_MOVES = frozenset(
    {"reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "concatenate", "slice"}
    | {"pad", "rev", "gather", "dynamic_slice", "convert_element_type", "copy", "layer", "split"}
    | {"reduce_window_max", "reduce_max", "reduce_min", "select_n", "sort", "reduce_precision"}
    | {"dynamic_update_slice", "stop_gradient"}
)
# One value in, one out.
_UNARY = frozenset(
    {"neg", "abs", "exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "erf", "erfc"}
    | {"sqrt", "rsqrt", "square", "integer_pow", "cbrt", "sin", "cos", "sign", "floor", "round"}
)
_SUMS = frozenset({"reduce_sum", "reduce_window_sum", "cumsum"})
# Where a factor comes from that only turns the other one up or down.
_GATES = frozenset(
    {"logistic", "tanh", "erf", "erfc", "exp", "exp2", "rsqrt", "sqrt", "pow", "sign", "clamp"}
)
_LIMITS = frozenset({"max", "min", "clamp", "pow"})
_SHIFTS = frozenset({"add", "add_any", "sub"})


@dataclass(frozen=True)
class RelevanceRule:
    """A program whose derivative is relevance; forward it is unchanged.

    Attributes:
      rules: from the input to the output; each is used by an equal share of the products, in the
        order they run in. Those in a loop count once, whatever its length, those of all branches
        each.
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
        places: dict[int, int] = {}
        count = 0
        for eqn in products(flat.jaxpr, inputs):
            places.setdefault(id(eqn), count)
            count += 1
        rewriter = _Rewriter(self, count, places)
        run = jaxpr_as_fun(rewriter.program(flat, inputs, flat.jaxpr.invars[-1:]))
        avals = [jax.ShapeDtypeStruct(shape_of(v), v.aval.dtype) for v in flat.jaxpr.invars]
        return jax.make_jaxpr(lambda *values: [as_relevance(v) for v in run(*values)])(*avals)

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
        fixed, carried, _ = scan_inputs(eqn)
        # What is carried on depends on the image from the second round on, if not before.
        carry = [_is_real(v) for v in eqn.invars[fixed : fixed + carried]]
        return [(called(eqn), flags[:fixed] + carry + flags[fixed + carried :])]
    return []


@dataclass
class _Rewriter:
    """One pass over a program.

    Attributes:
      count: products in all.
      places: of each of them, by its operation's id, in the order they run in.
    """

    rule: RelevanceRule
    count: int
    places: dict[int, int]

    def program(
        self, closed: ClosedJaxpr, inputs: Sequence[bool], images: Sequence[Any] = ()
    ) -> ClosedJaxpr:
        """The program with other derivatives.

        Args:
          inputs: for each input of the program, whether it depends on the image.
          images: those that are images.
        """
        jaxpr = closed.jaxpr
        moving = moved(jaxpr, inputs)
        chains = _chains(jaxpr, moving)
        within = {id(e) for chain in chains.values() if not chain.marked for e in chain.eqns}
        seen = _Seen(
            moving=moving,
            made={v: eqn for eqn in jaxpr.eqns for v in eqn.outvars if v in moving},
            pixels=_pixels(jaxpr, moving, images),
        )
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
                rule = self.rule.at(self.places[id(chain.eqns[0])], self.count)
                fixed = [values[v] for v in chain.fixed]
                return [product(chain, rule, values[chain.source], fixed)]
            if id(eqn) in within:
                return [None]  # only its chain looks at it
            return self._other(eqn, read, seen)

        return retraced(closed, run)

    def _loop(self, eqn: JaxprEqn, read: list[Any], moving: set[Any]) -> list[Any]:
        bodies = _bodies(eqn, moving)
        if not bodies:
            raise _no_rule(eqn)
        changed = tuple(self.program(body, flags) for body, flags in bodies)
        key = "branches" if eqn.primitive.name == "cond" else "jaxpr"
        value = changed if key == "branches" else changed[0]
        return bind(eqn.replace(params={**eqn.params, key: value}), read)

    def _other(self, eqn: JaxprEqn, read: list[Any], seen: _Seen) -> list[Any] | None:
        name, epsilon = eqn.primitive.name, self.rule.epsilon
        if name in _MOVES or not any(_in(v, seen.moving) for v in eqn.outvars):
            return None  # also an index, or a truth
        data = [i for i, v in enumerate(eqn.invars) if _in(v, seen.moving)]
        alone = len(data) == 1
        if name in _UNARY or (alone and name in _LIMITS):
            return [shared(eqn, (data[0],), read)]
        if name in ("max", "min"):
            return None  # the larger one, or the smaller one, takes it
        if name in _SUMS:
            return [proportional_sum(eqn, epsilon, read[0])]
        if name in _SHIFTS:
            return [self._shift(eqn, read, data, seen)]
        if name in ("mul", "div"):
            return [shared(eqn, seen.signals(eqn, data), read)]
        if name in PRODUCTS:
            return [self._two(eqn, read, seen)]
        raise _no_rule(eqn)

    def _shift(self, eqn: JaxprEqn, read: list[Any], data: list[int], seen: _Seen) -> jax.Array:
        if len(data) == 2:
            return proportional(eqn, self.rule.epsilon, *read)
        if eqn.invars[data[0]] in seen.pixels:
            return shared(eqn, (data[0],), read)
        return absorbed(eqn, data[0], self.rule.epsilon, read)

    def _two(self, eqn: JaxprEqn, read: list[Any], seen: _Seen) -> jax.Array:
        """A product of two values that depend on the image: attention."""
        signals = seen.signals(eqn, [0, 1])
        if len(signals) == 2:
            return bilinear(eqn, self.rule.epsilon, *read)
        (signal,) = signals
        gate = jax.lax.stop_gradient(read[1 - signal])
        rule = Rule("epsilon", self.rule.epsilon)
        return product(Chain.of_product(eqn, signal), rule, read[signal], [gate])


@dataclass(frozen=True)
class _Seen:
    """What is known of a program's variables.

    Attributes:
      moving: those that depend on the image.
      made: the operation that makes each of them.
      pixels: those that are the image itself, scaled and shifted at most.
    """

    moving: set[Any]
    made: dict[Any, JaxprEqn]
    pixels: set[Any]

    def signals(self, eqn: JaxprEqn, data: list[int]) -> tuple[int, ...]:
        """Which factors take the relevance: a gate or a denominator takes none beside a signal."""
        if len(data) == 1:
            return (data[0],)
        if eqn.primitive.name == "div":
            return (0,)
        return tuple(i for i in data if not self._gate(eqn.invars[i])) or tuple(data)

    def _gate(self, variable: Any, depth: int = 12) -> bool:
        """Whether a factor only turns the other up or down: it comes from a sigmoid, say."""
        eqn = self.made.get(variable)
        if eqn is None or not depth:
            return False
        name = eqn.primitive.name
        before = [v for v in eqn.invars if not isinstance(v, Literal) and v in self.made]
        if name in _GATES:
            return True
        if name == "integer_pow":
            return bool(eqn.params["y"] < 0)
        if name == "div":  # a softmax, or one over a sum; but what is normalised is a signal
            return eqn.invars[0] not in before or self._gate(eqn.invars[0], depth - 1)
        if len(before) != 1:
            return False
        if name in ("max", "min") and self._bounded(before[0], {"max": "min", "min": "max"}[name]):
            return True
        through = name in _MOVES or name in ("add", "mul", "sub", "max", "min", "neg")
        return through and self._gate(before[0], depth - 1)

    def _bounded(self, variable: Any, by: str) -> bool:
        """Whether a value was limited by a constant, from below or above."""
        eqn = self.made.get(variable)
        return (
            eqn is not None
            and eqn.primitive.name == by
            and sum(not isinstance(v, Literal) and v in self.made for v in eqn.invars) == 1
        )


def _pixels(jaxpr: Jaxpr, moving: set[Any], images: Sequence[Any]) -> set[Any]:
    """Images, and what is made of them by constants, value by value.

    To shift and scale an image is to normalise it, wherever that is done: each pixel keeps the
    relevance of its normalised value.
    """
    found = set(images)
    for eqn in jaxpr.eqns:
        data = [v for v in eqn.invars if _in(v, moving)]
        kept = eqn.primitive.name in _MOVES | _SHIFTS | {"mul", "div", "neg"}
        if kept and len(data) == 1 and data[0] in found:
            found.update(eqn.outvars)
    return found


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
    positive = never_negative(jaxpr)
    chains = {}
    for eqn in jaxpr.eqns:
        if eqn.primitive.name not in PRODUCTS:
            continue
        data = [i for i in (0, 1) if _in(eqn.invars[i], moving)]
        if len(data) != 1:
            continue
        chain = Chain.of_product(eqn, data[0], eqn.invars[data[0]] in positive)
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
