"""A program that is written out without calls computes the same, in loops and branches too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from reportgen.rewrite.compat import CALLS, jaxpr_as_fun
from reportgen.rewrite.inline import inlined
from reportgen.rewrite.interpreter import walk

X = jnp.linspace(-1.0, 2.0, 12).reshape(3, 4)
STACK = jnp.linspace(0.5, 1.5, 20).reshape(5, 4)
# Of the program itself: JAX may keep it with the body that uses it.
TABLE = np.linspace(-1.0, 1.0, 16, dtype=np.float32).reshape(4, 4)


@jax.jit
def step(x: jax.Array) -> jax.Array:
    return jax.nn.relu(x @ TABLE) + jax.checkpoint(jnp.sin)(x)


def scanned(x: jax.Array, **more: Any) -> Any:
    return lax.scan(lambda c, w: (step(c * w), c.sum()), x, STACK, **more)


PROGRAMS: dict[str, Callable[[jax.Array], Any]] = {
    "call": step,
    "scan": scanned,
    "scan in reverse": lambda x: scanned(x, reverse=True),
    "scan without slices": lambda x: lax.scan(lambda c, _: (step(c) + x, None), x, None, length=3),
    "scan of scans": lambda x: lax.scan(lambda c, w: (scanned(c * w)[0], w), x, STACK[:2]),
    "fori_loop": lambda x: lax.fori_loop(0, 3, lambda i, c: step(c) * i, x),
    "cond": lambda x: lax.cond(x.sum() > 0, step, lambda y: y @ TABLE, x),
    "branch in scan": lambda x: lax.scan(
        lambda c, w: (lax.cond(w.sum() > 4, step, jnp.cos, c), None), x, STACK
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_written_out_computes_the_same(name: str) -> None:
    program = PROGRAMS[name]
    closed = jax.make_jaxpr(program)(X)
    flat = inlined(closed)
    assert not {eqn.primitive.name for eqn in walk(flat.jaxpr)} & CALLS

    def total(leaves: Any) -> jax.Array:
        return sum((leaf.sum() for leaf in jax.tree.leaves(leaves)), jnp.zeros(()))

    found = jax.jit(jax.value_and_grad(lambda x: total(jaxpr_as_fun(flat)(x))))(X)
    expected = jax.jit(jax.value_and_grad(lambda x: total(program(x))))(X)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_a_while_loop_is_written_out() -> None:
    def program(x: jax.Array) -> jax.Array:
        return lax.while_loop(lambda c: jax.jit(jnp.sum)(c) < 50, lambda c: step(c) + c + 1.0, x)

    flat = inlined(jax.make_jaxpr(program)(X))
    assert not {eqn.primitive.name for eqn in walk(flat.jaxpr)} & CALLS
    (found,) = jax.jit(jaxpr_as_fun(flat))(X)
    np.testing.assert_allclose(found, program(X), rtol=1e-5)
