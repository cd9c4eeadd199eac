"""How relevance is shared among the inputs of one operation.

In every rule R is the relevance of the output, and what is returned is that of the inputs; a value
z is kept off zero as z + ε·sign(z), where sign(0) = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from typing import Literal as OneOf

import jax
import jax.numpy as jnp

from reportgen.rewrite.compat import JaxprEqn, Literal, bind
from reportgen.rewrite.interpreter import read, shape_of

RuleName = OneOf["epsilon", "gamma", "z_plus", "alpha_beta"]


@dataclass(frozen=True)
class Rule:
    """A rule for products of the input with weights w, and a bias b.

    Attributes:
      name: with z = Σ x·w + b, and ⁺ and ⁻ for the positive and negative part:

        - ``epsilon``: R_in = x·Σ w·R/(z + ε sign z)
        - ``gamma``: as epsilon, with weights w + γ·w⁺ where z is positive and w + γ·w⁻ where it
          is negative (turned round for negative x), as Zennit has it for inputs of both signs
        - ``z_plus``: only what is positive counts: x⁺·w⁺ + x⁻·w⁻ + b⁺
        - ``alpha_beta``: α times the share of the positive parts, minus β = α - 1 times that of
          the negative ones

        A sum without any positive part has nobody to take its relevance by ``z_plus``; without
        any negative part ``alpha_beta`` makes α times as much of it. All are as Zennit has them.
      epsilon: keeps sums off zero.
      gamma: of the rule of that name.
      alpha: of the rule of that name, at least 1.
    """

    name: RuleName
    epsilon: float
    gamma: float = 0.25
    alpha: float = 2.0


@dataclass(frozen=True, eq=False)
class Chain:
    """A product, and the operations after it that scale and shift by channel.

    Attributes:
      eqns: the product first.
      data: which operand of the product depends on the image; the other is the weights.
      source: the variable of that operand.
      output: the variable of the last result.
      fixed: variables besides that are needed: the weights first.
      positive: that operand is never negative, as behind a rectifier.
    """

    eqns: tuple[JaxprEqn, ...]
    data: int
    source: Any
    output: Any
    fixed: tuple[Any, ...]
    positive: bool

    @classmethod
    def of_product(cls, eqn: JaxprEqn, data: int, positive: bool = False) -> Chain:
        """A product alone."""
        weights = eqn.invars[1 - data]
        return cls((eqn,), data, eqn.invars[data], eqn.outvars[0], (weights,), positive)

    def extended(self, eqn: JaxprEqn) -> Chain:
        """With one more operation."""
        new = [v for v in eqn.invars if v is not self.output and not isinstance(v, Literal)]
        return replace(
            self, eqns=(*self.eqns, eqn), output=eqn.outvars[0], fixed=(*self.fixed, *new)
        )

    def without_last_marks(self) -> Chain:
        """Ended before the marks at its end, whose values are those of the chain."""
        chain = self
        while chain.eqns[-1].primitive.name == "layer":
            before = chain.eqns[:-1]
            chain = replace(chain, eqns=before, output=before[-1].outvars[0])
        return chain

    @property
    def channel_axis(self) -> int | None:
        """Axis of the product's output that counts the channels, if the weights have just one."""
        axes = self._axes
        return None if axes is None else axes[0]

    @property
    def _axes(self) -> tuple[int, int] | None:
        """Axis of the channels in the output and in the weights."""
        eqn = self.eqns[0]
        if eqn.primitive.name == "conv_general_dilated":
            numbers = eqn.params["dimension_numbers"]
            return numbers.out_spec[1], numbers.rhs_spec[0]
        (contracting, batched) = eqn.params["dimension_numbers"]
        weights = 1 - self.data
        taken = {*contracting[weights], *batched[weights]}
        free = [a for a in range(len(shape_of(eqn.invars[weights]))) if a not in taken]
        if len(free) != 1:
            return None
        rank = len(shape_of(eqn.outvars[0]))
        # The output's axes: those shared, then the first operand's, then the second's.
        return (rank - 1 if weights == 1 else len(batched[0])), free[0]

    def linear(self, x: jax.Array, weights: jax.Array) -> jax.Array:
        """The product alone."""
        operands = [x, weights] if self.data == 0 else [weights, x]
        return bind(self.eqns[0], operands)[0]

    @property
    def marked(self) -> bool:
        """Whether there are marks within."""
        return any(eqn.primitive.name == "layer" for eqn in self.eqns)

    def after(self, value: jax.Array, fixed: list[jax.Array], shifted: bool = True) -> jax.Array:
        """Scaled, and shifted too unless that is left out."""
        values: dict[Any, Any] = dict(zip(self.fixed[1:], fixed[1:], strict=True))
        values[self.eqns[0].outvars[0]] = value
        for before, eqn in zip((e.outvars[0] for e in self.eqns), self.eqns[1:], strict=False):
            inputs = read(values, eqn.invars)
            if eqn.primitive.name == "layer" or (
                not shifted and eqn.primitive.name in ("add", "sub")
            ):
                own = [v is before for v in eqn.invars].index(True)
                values[eqn.outvars[0]] = inputs[own]  # marked outside
            else:
                values[eqn.outvars[0]] = bind(eqn, inputs)[0]
        return jnp.asarray(values[self.output])

    def effective(self, fixed: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Weights that include the scale, and the shift (of the output's shape)."""
        out: Any = self.eqns[0].outvars[0].aval
        shift = self.after(jnp.zeros(out.shape, out.dtype), fixed)
        weights = fixed[0]
        axes = self._axes
        if axes is None or all(e.primitive.name not in ("mul", "div") for e in self.eqns[1:]):
            return weights, shift
        scale = self.after(jnp.ones(out.shape, out.dtype), fixed, shifted=False)
        row = jnp.moveaxis(scale, axes[0], -1).reshape(-1, out.shape[axes[0]])[0]
        shape = [1] * weights.ndim
        shape[axes[1]] = row.size
        return weights * row.reshape(shape), shift


def _stable(value: jax.Array, epsilon: float) -> jax.Array:
    return value + jnp.where(value < 0, -epsilon, epsilon)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def product(chain: Chain, rule: Rule, x: jax.Array, fixed: list[jax.Array]) -> jax.Array:
    """A chain's output; backwards, the rule."""
    return chain.after(chain.linear(x, fixed[0]), fixed)


def _product_forward(
    chain: Chain, rule: Rule, x: jax.Array, fixed: list[jax.Array]
) -> tuple[jax.Array, Any]:
    output = chain.after(chain.linear(x, fixed[0]), fixed)
    return output, (x, fixed, output)


def _product_backward(chain: Chain, rule: Rule, kept: Any, relevance: jax.Array) -> tuple[Any, Any]:
    x, fixed, output = kept
    weights, shift = chain.effective(fixed)
    more, less = jnp.maximum(weights, 0), jnp.minimum(weights, 0)

    def share(up: jax.Array, down: jax.Array, bias: jax.Array, r: jax.Array) -> jax.Array:
        """R_in = Σ parts x · Σ w · R/z, with z the sum: of x⁺ by weights up, and x⁻ by down."""
        parts = [(jnp.maximum(x, 0), up), (jnp.minimum(x, 0), down)]
        if chain.positive:
            parts = [(x, up)]
        total, backs = bias, []
        for values, w in parts:
            part, back = jax.vjp(partial(chain.linear, weights=w), values)
            total = total + part
            backs.append(back)
        message = r / _stable(total, rule.epsilon)
        terms = [values * back(message)[0] for (values, _), back in zip(parts, backs, strict=True)]
        return sum(terms[1:], terms[0])

    if rule.name == "epsilon":
        _, back = jax.vjp(partial(chain.linear, weights=weights), x)
        return x * back(relevance / _stable(output, rule.epsilon))[0], None
    if rule.name == "z_plus":
        return share(more, less, jnp.maximum(shift, 0), relevance), None
    if rule.name == "alpha_beta":
        positive = share(more, less, jnp.maximum(shift, 0), relevance)
        negative = share(less, more, jnp.minimum(shift, 0), relevance)
        return rule.alpha * positive - (rule.alpha - 1) * negative, None
    rises, falls = weights + rule.gamma * more, weights + rule.gamma * less
    rising = share(
        rises,
        falls,
        shift + rule.gamma * jnp.maximum(shift, 0),
        jnp.where(output > 0, relevance, 0),
    )
    falling = share(
        falls,
        rises,
        shift + rule.gamma * jnp.minimum(shift, 0),
        jnp.where(output > 0, 0, relevance),
    )
    return rising + falling, None


product.defvjp(_product_forward, _product_backward)


def _bound(eqn: JaxprEqn, values: list[Any]) -> jax.Array:
    return bind(eqn, values)[0]


def _gathered(relevance: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Relevance of an operand whose axes of length one were stretched, or that was one number."""
    if not shape:
        return relevance.sum()
    stretched = tuple(i for i, side in enumerate(shape) if side != relevance.shape[i])
    return relevance.sum(axis=stretched, keepdims=True)


def shared(eqn: JaxprEqn, places: tuple[int, ...], values: list[Any]) -> jax.Array:
    """Relevance in equal parts to some operands of an operation by elements; none to the others.

    An activation function, whose one operand takes all, is the plainest case.
    """
    values = [
        value if i in places else jax.lax.stop_gradient(value) for i, value in enumerate(values)
    ]

    @jax.custom_vjp
    def run(*operands: Any) -> jax.Array:
        return _bound(eqn, list(operands))

    def forward(*operands: Any) -> tuple[jax.Array, None]:
        return run(*operands), None

    shapes = [jnp.shape(value) for value in values]

    def backward(_: None, relevance: jax.Array) -> tuple[Any, ...]:
        part = relevance / len(places)
        return tuple(
            _gathered(part, shapes[i]) if i in places else None for i in range(len(values))
        )

    run.defvjp(forward, backward)
    return run(*values)


def absorbed(eqn: JaxprEqn, place: int, epsilon: float, values: list[Any]) -> jax.Array:
    """A shift: its share of the output's relevance goes to no input."""

    @jax.custom_vjp
    def run(*operands: Any) -> jax.Array:
        return _bound(eqn, list(operands))

    def forward(*operands: Any) -> tuple[jax.Array, Any]:
        output = run(*operands)
        # A minuend or summand counts as it is, a subtrahend with its sign.
        sign = -1.0 if eqn.primitive.name == "sub" and place == 1 else 1.0
        return output, (sign * operands[place], output)

    def backward(kept: Any, relevance: jax.Array) -> tuple[Any, ...]:
        own, output = kept
        part = own * relevance / _stable(output, epsilon)
        shape = jnp.shape(values[place])
        return tuple(_gathered(part, shape) if i == place else None for i in range(len(values)))

    run.defvjp(forward, backward)
    return run(*values)


def proportional(eqn: JaxprEqn, epsilon: float, left: jax.Array, right: jax.Array) -> jax.Array:
    """A sum or difference of two: each takes what it gave, as skip connections do."""

    @jax.custom_vjp
    def run(a: jax.Array, b: jax.Array) -> jax.Array:
        return _bound(eqn, [a, b])

    def forward(a: jax.Array, b: jax.Array) -> tuple[jax.Array, Any]:
        output = run(a, b)
        return output, (a, -b if eqn.primitive.name == "sub" else b, output)

    def backward(kept: Any, relevance: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b, output = kept
        message = relevance / _stable(output, epsilon)
        return _gathered(a * message, a.shape), _gathered(b * message, b.shape)

    run.defvjp(forward, backward)
    return run(left, right)


def proportional_sum(eqn: JaxprEqn, epsilon: float, value: jax.Array) -> jax.Array:
    """A sum over places, as in average pooling: each takes what it gave."""

    def bound(x: jax.Array) -> jax.Array:
        return _bound(eqn, [x])

    @jax.custom_vjp
    def run(x: jax.Array) -> jax.Array:
        return bound(x)

    def forward(x: jax.Array) -> tuple[jax.Array, Any]:
        output = run(x)
        return output, (x, output)

    def backward(kept: Any, relevance: jax.Array) -> tuple[jax.Array]:
        x, output = kept
        _, back = jax.vjp(bound, x)
        return (x * back(relevance / _stable(output, epsilon))[0],)

    run.defvjp(forward, backward)
    return run(value)


def bilinear(eqn: JaxprEqn, epsilon: float, left: jax.Array, right: jax.Array) -> jax.Array:
    """A product of two signals: half to each, shared out as by ``epsilon``."""

    def bound(a: jax.Array, b: jax.Array) -> jax.Array:
        return _bound(eqn, [a, b])

    @jax.custom_vjp
    def run(a: jax.Array, b: jax.Array) -> jax.Array:
        return bound(a, b)

    def forward(a: jax.Array, b: jax.Array) -> tuple[jax.Array, Any]:
        output = run(a, b)
        return output, (a, b, output)

    def backward(kept: Any, relevance: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b, output = kept
        _, back = jax.vjp(bound, a, b)
        by_a, by_b = back(relevance / 2 / _stable(output, epsilon))
        return a * by_a, b * by_b

    run.defvjp(forward, backward)
    return run(left, right)


@jax.custom_vjp
def as_relevance(output: jax.Array) -> jax.Array:
    """A program's output; backwards, its derivative's share of a score becomes relevance.

    Output times derivative: the score itself for one output, and each output's part of a mean.
    """
    return output


as_relevance.defvjp(
    lambda output: (output, output), lambda output, derivative: (output * derivative,)
)
