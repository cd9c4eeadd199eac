"""The interpreter computes what JAX computes, whatever it goes into, and counts what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from reportgen.rewrite.compat import (
    Jaxpr,
    JaxprEqn,
    ScanInputs,
    bodies,
    name_called,
    scan_inputs,
    scopes_of,
    used,
)
from reportgen.rewrite.interpreter import ROUND, Scopes, enters, evaluate, operations, walk

X = jnp.linspace(-1.0, 2.0, 12).reshape(3, 4)
STACK = jnp.linspace(0.5, 1.5, 20).reshape(5, 4)


def as_it_is(eqn: JaxprEqn, inputs: list[Any], scopes: Scopes) -> list[Any] | None:
    return None


def everywhere(body: Jaxpr) -> bool:
    return True


def nowhere(body: Jaxpr) -> bool:
    return False


def holding(name: str) -> Callable[[Jaxpr], bool]:
    """Wants the programs that hold an operation of this name."""
    return lambda body: any(eqn.primitive.name == name for eqn in walk(body))


def evaluated(
    function: Callable[..., Any], rule: Any = as_it_is, wanted: Any = everywhere
) -> Callable[..., Any]:
    """The function, run by the interpreter."""

    def run(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        flat = evaluate(closed, jax.tree.leaves(arguments), rule, wanted)
        return jax.tree.unflatten(jax.tree.structure(shape), flat)

    return run


@jax.custom_jvp
def capped(x: jax.Array) -> jax.Array:
    return jnp.minimum(x, 1.0)


capped.defjvp(lambda primals, tangents: (capped(*primals), 7.0 * tangents[0]))


@jax.custom_vjp
def clipped(x: jax.Array, bound: float) -> jax.Array:
    return jnp.clip(x, -bound, bound)


clipped.defvjp(
    lambda x, bound: (clipped(x, bound), x),
    lambda x, cotangent: (jnp.where(x > 0, 3.0, 5.0) * cotangent, jnp.zeros(())),
)


def scan_forward(x: jax.Array) -> Any:
    return lax.scan(lambda c, w: (jnp.tanh(c * w), c.sum()), x, STACK)


def scan_reverse(x: jax.Array) -> Any:
    return lax.scan(lambda c, w: (jnp.tanh(c * w), c.sum()), x, STACK, reverse=True)


def scan_of_several(x: jax.Array) -> Any:
    def body(carry: Any, slices: Any) -> Any:
        (a, i), (w, v) = carry, slices
        return (a * w + x.mean(), i + 1), (a.max(axis=0) - v, i)

    return lax.scan(body, (x, jnp.int32(3)), (STACK, STACK[:, 0]))


def scan_without_slices(x: jax.Array) -> Any:
    return lax.scan(lambda c, _: (c * 0.5 + 1.0, None), x, None, length=3)


def scan_of_scans(x: jax.Array) -> Any:
    def outer(c: jax.Array, w: jax.Array) -> Any:
        return lax.scan(lambda d, v: (jnp.sin(d * v), d[0]), c, w * STACK, reverse=True)

    return lax.scan(outer, x, STACK[:3])


def scan_that_returns_what_it_reads(x: jax.Array) -> Any:
    """JAX moves what a round returns as it came out of the loop."""

    def body(carry: Any, w: jax.Array) -> Any:
        kept, moved = carry
        return (kept, moved * w + kept), (w, moved)

    return lax.scan(body, (x, x + 1.0), STACK)


PROGRAMS: dict[str, Callable[[jax.Array], Any]] = {
    "jit": lambda x: jax.jit(jnp.tanh)(x) + 1.0,
    "nested jit": jax.jit(lambda x: jax.jit(lambda y: jax.jit(jnp.sin)(y) * 2.0)(x) - x),
    "jit with a constant": jax.jit(lambda x: x @ np.arange(8.0, dtype=np.float32).reshape(4, 2)),
    "remat": jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)).sum(axis=0)),
    "scan": scan_forward,
    "scan in reverse": scan_reverse,
    "scan of several carries and stacks": scan_of_several,
    "scan of one round": lambda x: lax.scan(lambda c, w: (c * w, w), x, STACK[:1]),
    "scan of no round": lambda x: lax.scan(lambda c, w: (c * w, c), x, STACK[:0]),
    "scan without slices": scan_without_slices,
    "scan of scans": scan_of_scans,
    "scan of scalars": lambda x: lax.scan(lambda c, w: (c + w, c * w), x[0, 0], STACK[:, 0]),
    "scan of constants alone": lambda x: lax.scan(lambda c, _: (c, jnp.sin(x)), (), None, length=2),
    "scan of slices alone": lambda x: lax.scan(lambda _, w: (None, w @ x.T), None, STACK),
    "scan in reverse without slices": lambda x: lax.scan(
        lambda c, _: (c * 0.5 + x, c.sum()), x, None, length=3, reverse=True
    ),
    "scan that is written out in part": lambda x: lax.scan(
        lambda c, w: (jnp.tanh(c * w), c.sum()), x, STACK, unroll=2
    ),
    "scan that returns what it reads": scan_that_returns_what_it_reads,
    "fori_loop": lambda x: lax.fori_loop(0, 4, lambda i, c: c * 0.9 + i, x),
    "cond": lambda x: lax.cond(x.sum() > 100, jnp.sin, jnp.cos, x),
    "switch": lambda x: lax.switch(jnp.int32(2), (jnp.sin, jnp.cos, jnp.tanh), x),
    "while": lambda x: lax.while_loop(lambda c: c.sum() < 50, lambda c: c * 1.5, x),
    "custom_jvp": lambda x: capped(x) * x,
    "custom_vjp": lambda x: clipped(x, 0.5) * x,
    "relu and softmax": lambda x: jax.nn.softmax(jax.nn.relu(x)),
    "custom derivative in jit in scan": lambda x: lax.scan(
        lambda c, w: (jax.jit(capped)(c * w), clipped(c, 0.5)), x, STACK
    ),
    "literal output": lambda x: (x, 2.0, jnp.ones(3)),
    "input as output, twice": lambda x: (x, x),
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Callable[[jax.Array], Any]:
    return PROGRAMS[request.param]


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert jnp.shape(a) == jnp.shape(b)
        assert jnp.result_type(a) == jnp.result_type(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wanted", [everywhere, nowhere])
def test_what_is_evaluated_is_what_jax_computes(program: Any, wanted: Any) -> None:
    assert_same(jax.jit(evaluated(program, wanted=wanted))(X), jax.jit(program)(X))


def test_what_is_evaluated_without_jit_is_the_same() -> None:
    for name in ("nested jit", "scan in reverse", "custom derivative in jit in scan"):
        assert_same(evaluated(PROGRAMS[name])(X), PROGRAMS[name](X))


def total(program: Callable[[jax.Array], Any]) -> Callable[[jax.Array], jax.Array]:
    def run(x: jax.Array) -> jax.Array:
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(program(x))]
        floating = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return sum((leaf.sum() for leaf in floating), jnp.zeros(()))

    return run


def test_derivatives_are_those_of_the_program(program: Any) -> None:
    """Forward where there is a while loop or a custom JVP, else in reverse: custom rules hold."""
    expected, found = total(program), total(evaluated(program))
    if program is PROGRAMS["while"]:
        (_, want), (_, got) = (
            jax.jit(lambda x, f=f: jax.jvp(f, (x,), (jnp.cos(x),)))(X) for f in (expected, found)
        )
    else:
        want, got = (jax.jit(jax.grad(f))(X) for f in (expected, found))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_custom_derivatives_are_kept() -> None:
    """They say other than mathematics does: 7, and 3 or 5."""
    np.testing.assert_allclose(jax.grad(total(evaluated(capped)))(X), 7.0)
    gradient = jax.grad(total(evaluated(lambda x: clipped(x, 0.5))))(X)
    np.testing.assert_allclose(gradient, jnp.where(X > 0, 3.0, 5.0))


def test_vmap_of_what_is_evaluated(program: Any) -> None:
    batch = jnp.stack([X, X * 0.5 + 0.1, -X])
    expected, found = (jax.jit(jax.vmap(total(f)))(batch) for f in (program, evaluated(program)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def doubled_sine(eqn: JaxprEqn, inputs: list[Any], scopes: Scopes) -> list[Any] | None:
    return [2.0 * jnp.sin(inputs[0])] if eqn.primitive.name == "sin" else None


def test_a_rule_replaces_operations_wherever_it_is_wanted() -> None:
    def network(x: jax.Array, sine: Callable[[jax.Array], jax.Array]) -> Any:
        x = jax.jit(lambda y: sine(y) + y)(x)
        x = jax.checkpoint(sine)(x)
        return lax.scan(lambda c, w: (sine(c) * w, sine(w)), x, STACK)

    found = evaluated(lambda x: network(x, jnp.sin), doubled_sine, holding("sin"))(X)
    assert_same(found, network(X, lambda x: 2.0 * jnp.sin(x)))
    left = evaluated(lambda x: network(x, jnp.sin), doubled_sine, nowhere)(X)
    assert_same(left, network(X, jnp.sin))


def test_a_rule_sees_inputs_and_scopes_of_every_round() -> None:
    seen: list[tuple[Scopes, float]] = []

    def rule(eqn: JaxprEqn, inputs: list[Any], scopes: Scopes) -> None:
        if eqn.primitive.name == "sin":
            seen.append((scopes, float(inputs[0])))

    def body(c: jax.Array, w: jax.Array) -> Any:
        with jax.named_scope("inner"):
            return c + 1.0, jnp.sin(w)

    def network(x: jax.Array) -> Any:
        with jax.named_scope("outer"):
            return lax.scan(body, x, jnp.array([10.0, 20.0]), reverse=True)

    evaluated(network, rule)(jnp.zeros(()))
    # In the order in which they run; the index is the slice's.
    assert seen == [
        (("outer", f"{ROUND}1", "inner"), 20.0),
        (("outer", f"{ROUND}0", "inner"), 10.0),
    ]


def names(function: Callable[..., Any], *arguments: Any) -> list[str]:
    return [eqn.primitive.name for eqn in walk(jax.make_jaxpr(function)(*arguments).jaxpr)]


def test_a_scan_is_unrolled_only_where_something_is_wanted_inside() -> None:
    def network(x: jax.Array) -> jax.Array:
        x, _ = lax.scan(lambda c, w: (jnp.sin(c * w), None), x, STACK)
        x, _ = lax.scan(lambda c, w: (jnp.cos(c * w), None), x, STACK)
        return jax.jit(jnp.tanh)(x)

    run = names(evaluated(network, wanted=holding("sin")), X)
    assert (run.count("sin"), run.count("cos"), run.count("scan")) == (5, 1, 1)
    assert names(evaluated(network, wanted=nowhere), X) == names(network, X)
    assert not {"scan", "jit"} & set(names(evaluated(network), X))


def summing_scan(fixed: Any, carry: Any, stacks: Any, length: int) -> Any:
    """A scan over some inputs of each kind."""

    def body(carry: Any, slices: Any) -> Any:
        total = sum((v.sum() for v in (*fixed, *carry, *slices)), jnp.zeros(()))
        return tuple(c * total for c in carry), (total, *(w + total for w in slices))

    return lax.scan(body, carry, stacks, length=length)


@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize(
    "kinds", [(2, 3, 1), (0, 1, 2), (1, 0, 2), (1, 2, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
)
def test_inputs_of_a_scan_are_told_apart(kinds: tuple[int, int, int], length: int) -> None:
    constants, carried, scanned = kinds
    one, stack = jnp.ones((3, 2)), jnp.ones((length, 3, 2))
    arguments = constants * (one,), carried * (one,), scanned * (stack,)
    closed = jax.make_jaxpr(summing_scan, static_argnums=3)(*arguments, length)
    (scan,) = (eqn for eqn in closed.jaxpr.eqns if eqn.primitive.name == "scan")
    assert scan_inputs(scan) == ScanInputs(*kinds)


def test_what_is_not_used_goes_and_constants_stay() -> None:
    table = jnp.arange(8.0).reshape(4, 2)

    def network(x: jax.Array, y: jax.Array) -> jax.Array:
        jnp.sin(y)
        return x @ table

    closed = used(jax.make_jaxpr(network)(X, X))
    assert "sin" not in {eqn.primitive.name for eqn in walk(closed.jaxpr)}
    assert len(closed.jaxpr.invars) == 2
    (found,) = evaluate(closed, [X, X], as_it_is, nowhere)
    np.testing.assert_allclose(found, X @ table)


def test_calls_tell_the_name_of_their_function() -> None:
    def named(function: Callable[..., Any]) -> str:
        return name_called(jax.make_jaxpr(function)(X).jaxpr.eqns[0])

    def _own(x: jax.Array) -> jax.Array:
        return jnp.sin(x)

    assert named(jax.jit(_own)) == "own"
    assert named(capped) == "capped"
    assert named(jax.nn.relu) == "relu"
    assert named(jnp.sin) == ""


def test_branches_loops_and_custom_derivatives_are_not_entered() -> None:
    for name in ("cond", "while", "custom_jvp", "custom_vjp"):
        closed = jax.make_jaxpr(PROGRAMS[name])(X)
        outer = [eqn for eqn in closed.jaxpr.eqns if eqn.primitive.name.startswith(name)]
        assert len(outer) == 1, name
        assert not enters(outer[0], everywhere)


def test_walk_finds_operations_in_programs_of_operations() -> None:
    closed = jax.make_jaxpr(
        lambda x: lax.cond(x.sum() > 0, lambda y: jax.jit(jnp.sin)(y), jax.nn.relu, x)
    )(X)
    assert {"cond", "sin", "max", "custom_jvp_call"} <= {
        e.primitive.name for e in walk(closed.jaxpr)
    }
    branches = next(eqn for eqn in closed.jaxpr.eqns if eqn.primitive.name == "cond")
    assert len(list(bodies(branches))) == 2


def test_scopes_of_an_operation_are_read_outermost_first() -> None:
    def network(x: jax.Array) -> jax.Array:
        with jax.named_scope("a"), jax.named_scope("b/c"):
            return jnp.sin(x)

    assert scopes_of(jax.make_jaxpr(network)(X).jaxpr.eqns[0]) == ("a", "b/c")


def cost(function: Callable[..., Any], *shapes: tuple[int, ...]) -> int:
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return sum(map(operations, jax.make_jaxpr(function)(*arguments).jaxpr.eqns))


def conv(**more: Any) -> Callable[..., jax.Array]:
    numbers = more.pop("numbers", ("NHWC", "HWIO", "NHWC"))
    strides, padding = more.pop("strides", (1, 1)), more.pop("padding", "SAME")
    return lambda x, w: lax.conv_general_dilated(
        x, w, strides, padding, dimension_numbers=numbers, **more
    )


CONVOLUTIONS: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], int]] = {
    "same": (conv(), (1, 8, 6, 3), (3, 3, 3, 5), 8 * 6 * 5 * 3 * 3 * 3),
    "batch": (conv(), (4, 8, 6, 3), (3, 3, 3, 5), 4 * 8 * 6 * 5 * 3 * 3 * 3),
    "valid": (conv(padding="VALID"), (1, 8, 6, 3), (3, 5, 3, 5), 6 * 2 * 5 * 3 * 5 * 3),
    "stride": (conv(strides=(2, 3)), (1, 8, 6, 3), (3, 3, 3, 5), 4 * 2 * 5 * 3 * 3 * 3),
    "groups": (
        conv(feature_group_count=3), (1, 8, 6, 6), (3, 3, 2, 9), 8 * 6 * 9 * 3 * 3 * 2
    ),
    "depthwise": (conv(feature_group_count=6), (1, 8, 6, 6), (3, 3, 1, 6), 8 * 6 * 6 * 3 * 3),
    "dilated kernel": (conv(rhs_dilation=(2, 2)), (1, 8, 6, 3), (3, 3, 3, 5), 8 * 6 * 5 * 27),
    "channels first": (
        conv(numbers=("NCHW", "OIHW", "NCHW")), (1, 3, 8, 6), (5, 3, 3, 3), 8 * 6 * 5 * 27
    ),
    # Each input element meets the whole kernel once; the zeros between them are no work.
    "transposed": (
        lambda x, w: lax.conv_transpose(x, w, (2, 2), "SAME"),
        (1, 8, 6, 3),
        (4, 4, 3, 5),
        8 * 6 * 3 * 4 * 4 * 5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_costs_two_operations_a_multiply_add(name: str) -> None:
    function, x, w, multiply_adds = CONVOLUTIONS[name]
    assert cost(function, x, w) == 2 * multiply_adds


def test_matrix_products_count_batch_and_contracted_axes() -> None:
    assert cost(lambda x, w: x @ w, (7, 3), (3, 5)) == 2 * 7 * 3 * 5
    assert cost(lambda q, k: jnp.einsum("bqhd,bkhd->bhqk", q, k), (2, 7, 4, 3), (2, 6, 4, 3)) == (
        2 * 2 * 4 * 7 * 6 * 3
    )
    assert cost(lambda x, w: jnp.einsum("nhwc,hwco->no", x, w), (2, 4, 4, 3), (4, 4, 3, 5)) == (
        2 * 2 * 5 * 4 * 4 * 3
    )


def test_what_is_no_product_costs_nothing() -> None:
    assert cost(lambda x: jax.nn.softmax(jax.nn.relu(x) + 1).mean(), (4, 5)) == 0


def test_inner_programs_are_counted() -> None:
    def product(x: jax.Array) -> jax.Array:
        return x @ x

    once = 2 * 4**3

    @jax.custom_vjp
    def custom(x: jax.Array) -> jax.Array:
        return product(x)

    custom.defvjp(lambda x: (custom(x), x), lambda x, cotangent: (cotangent,))

    def branches(x: jax.Array) -> jax.Array:
        return lax.switch(0, (jnp.sin, lambda y: product(product(y)), product), x)

    def one_way(x: jax.Array, i: jax.Array) -> jax.Array:
        return lax.switch(i.astype(int), (jnp.sin, lambda y: product(product(y)), product), x)

    assert cost(jax.jit(jax.jit(product)), (4, 4)) == once
    assert cost(jax.checkpoint(product), (4, 4)) == once
    assert cost(custom, (4, 4)) == once
    scanned = lambda x: lax.scan(lambda c, _: (product(c), None), x, None, length=6)  # noqa: E731
    assert cost(scanned, (4, 4)) == 6 * once
    nested = lambda x: lax.scan(lambda c, _: (scanned(c)[0], None), x, None, length=3)  # noqa: E731
    assert cost(nested, (4, 4)) == 18 * once
    assert cost(one_way, (4, 4), ()) == 2 * once  # the dearest branch
    assert cost(branches, (4, 4)) == 2 * once
