"""Programs for a CPU against the plain ones: values, derivatives by input and by kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from reportgen.rewrite import winograd
from reportgen.rewrite.compat import used
from reportgen.rewrite.cpu import kernels, lowered
from reportgen.rewrite.interpreter import walk
from tests.at_once import at_once

Function = Callable[..., jax.Array]


def lowered_function(function: Function, *arguments: Any, prepared: bool = False) -> Function:
    """The function as its lowered program runs it, its kernels prepared beforehand if asked."""
    closed = jax.make_jaxpr(function)(*arguments)
    found = kernels(closed) if prepared else ()
    run = jaxpr_as_fun(lowered(closed, found))

    def call(*values: Any) -> jax.Array:
        return run(*values, *(form.prepared(values[i]) for i, form in found))[0]

    return call


def told(function: Function, *arguments: Any) -> Any:
    """The output, and derivatives of a weighted sum of it by every argument."""
    output, back = jax.vjp(function, *arguments)
    weights = np.random.default_rng(3).normal(size=output.shape)
    return output, *back(jnp.asarray(weights, output.dtype))


def both(one: Function, other: Function, *arguments: Any) -> Any:
    """What is told of two functions."""
    return at_once(lambda *values: (told(one, *values), told(other, *values)), *arguments)


# A function, its arguments, and whether its kernels are prepared beforehand.
Case = tuple[Function, tuple[Any, ...], bool]


def assert_all_same(cases: dict[Any, Case], atol: float = 5e-6) -> None:
    """Values and derivatives are equal to rounding, in units of the largest."""
    pairs = {
        name: (lowered_function(function, *arguments, prepared=prepared), function)
        for name, (function, arguments, prepared) in cases.items()
    }

    def run(given: list[tuple[Any, ...]]) -> Any:
        return [
            [told(function, *arguments) for function in pair]
            for pair, arguments in zip(pairs.values(), given, strict=True)
        ]

    results = at_once(run, [arguments for _, arguments, _ in cases.values()])
    for name, pair in zip(cases, results, strict=True):
        for one, other in zip(*pair, strict=True):
            assert one.dtype == other.dtype
            expected = np.asarray(other, np.float64)
            scale = np.abs(expected).max() + 1e-30
            np.testing.assert_allclose(
                np.asarray(one, np.float64) / scale, expected / scale, 0, atol, err_msg=str(name)
            )


def assert_same(
    function: Function, *arguments: Any, atol: float = 5e-6, prepared: bool = False
) -> None:
    assert_all_same({"": (function, arguments, prepared)}, atol)


def names(closed: ClosedJaxpr) -> set[str]:
    """Names of all operations."""
    return {eqn.primitive.name for eqn in walk(closed.jaxpr)}


LAYOUTS = {
    1: [("NWC", "WIO", "NWC"), ("NCW", "OIW", "NCW")],
    2: [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW"), ("NHWC", "OIHW", "NCHW")],
    3: [("NDHWC", "DHWIO", "NDHWC"), ("NCDHW", "OIDHW", "NCDHW")],
}


def drawn_convolution(random: np.random.Generator) -> tuple[Function, np.ndarray, np.ndarray]:
    """A convolution of any kind, its input and its kernel."""
    rank = int(random.choice([1, 2, 2, 2, 3]))
    groups = int(random.choice([1, 1, 2, 3, 8, 24]))
    inputs, outputs = (int(random.choice([1, 1, 2, 3])) for _ in range(2))
    kernel = tuple(int(k) for k in random.integers(1, 5, rank))
    if random.random() < 0.25:
        kernel = (1,) * rank
    strides, spread, dilation = (
        tuple(int(s) for s in random.choice([1, 1, 1, 2, 3], rank)) for _ in range(3)
    )
    padding: Any = [tuple(int(p) for p in random.integers(-1, 4, 2)) for _ in range(rank)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    # Large enough for one output at least.
    sizes = [int(r) + 3 + int(random.integers(0, 6)) for r in reach]
    if random.random() < 0.2:
        padding, spread = str(random.choice(["SAME", "VALID"])), (1,) * rank
    layout = LAYOUTS[rank][int(random.integers(len(LAYOUTS[rank])))]
    channels = {"N": 2, "C": groups * inputs, "I": inputs, "O": groups * outputs}
    side = dict(zip("DHW"[-rank:] if rank > 1 else "W", sizes, strict=True))
    taps = dict(zip("DHW"[-rank:] if rank > 1 else "W", kernel, strict=True))
    x = random.normal(size=[{**channels, **side}[a] for a in layout[0]])
    w = random.normal(size=[{**channels, **taps}[a] for a in layout[1]])

    def run(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x,
            w,
            strides,
            padding,
            lhs_dilation=spread,
            rhs_dilation=dilation,
            dimension_numbers=layout,
            feature_group_count=groups,
        )

    return run, x.astype(np.float32), w.astype(np.float32)


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 40, 8))]
)
def test_convolutions_of_any_kind(first: int) -> None:
    """Eight of them, each by its seed."""
    cases: dict[Any, Case] = {}
    for seed in range(first, first + 8):
        run, x, w = drawn_convolution(np.random.default_rng(seed))
        cases[seed] = run, (x, w), seed % 2 == 0
    assert_all_same(cases)


# Three seeds have all layouts, prepared and not; the others have other sizes.
@pytest.mark.parametrize(
    ("seed", "banded"),
    [
        *((seed, banded) for seed in range(3) for banded in (False, True)),
        *(
            pytest.param(seed, banded, marks=pytest.mark.slow)
            for seed in range(3, 8)
            for banded in (False, True)
        ),
    ],
)
def test_few_products_for_many_channels(
    seed: int, banded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels of 3 × 3, whole and in bands of two or more rows, and the derivative's derivative."""
    random = np.random.default_rng(seed)
    inputs, outputs = (int(random.choice([130, 160] if banded else [32, 48])) for _ in range(2))
    sizes = random.integers(3, 12, 2)
    padding = [tuple(int(p) for p in random.integers(-1, 3, 2)) for _ in range(2)]
    if banded:
        monkeypatch.setattr(winograd, "_LARGE", 0)
        monkeypatch.setattr(winograd, "_BAND", int(random.choice([1, 1 << 15])))
    numbers = LAYOUTS[2][seed % 3]
    shape = {"N": 2, "C": inputs, "I": inputs, "O": outputs}
    x = random.normal(size=[{**shape, "H": sizes[0], "W": sizes[1]}[a] for a in numbers[0]])
    w = random.normal(0, 1 / 24, [{**shape, "H": 3, "W": 3}[a] for a in numbers[1]])

    def run(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=numbers)

    def steepness(x: jax.Array, w: jax.Array) -> jax.Array:
        return jnp.square(jax.grad(lambda x: jnp.sin(run(x, w)).sum())(x)).sum()

    arguments = x.astype(np.float32), w.astype(np.float32)
    assert_same(run, *arguments, prepared=seed % 2 == 0)
    products = lowered(jax.make_jaxpr(run)(*arguments))
    assert "dot_general" in names(products)
    assert "conv_general_dilated" not in names(products)
    rows = sizes[0] + sum(padding[0]) - 2
    loops = set(re.findall(r"length=(\d+)", str(products)))  # the sixteen products are one
    assert len(loops) == 1 + (banded and rows > 2)
    if seed == 0 and not banded:
        lowering = lowered_function(run, *arguments)

        def lowered_steepness(x: jax.Array, w: jax.Array) -> jax.Array:
            return jnp.square(jax.grad(lambda x: jnp.sin(lowering(x, w)).sum())(x)).sum()

        for one, other in zip(*both(lowered_steepness, steepness, *arguments), strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-5 * np.abs(other).max())


def test_few_channels_or_other_kernels_stay_convolutions() -> None:
    for channels, taps, stride in [(31, 3, 1), (32, 4, 1), (32, 3, 2)]:
        x, w = np.ones((1, 9, 9, channels), "f4"), np.ones((taps, taps, channels, 64), "f4")
        made = lowered(
            jax.make_jaxpr(
                lambda x, w, stride=stride: jax.lax.conv_general_dilated(
                    x, w, (stride, stride), "SAME", dimension_numbers=LAYOUTS[2][0]
                )
            )(x, w)
        )
        assert "conv_general_dilated" in names(made)


def drawn_pooling(random: np.random.Generator) -> tuple[Function, np.ndarray]:
    """A pooling of any kind, and an input of few values, so that many are equal."""
    rank = int(random.choice([1, 2, 2, 3]))
    kind = str(random.choice(["max", "max", "sum"]))
    size, stride = (tuple(int(s) for s in random.integers(1, 4, rank)) for _ in range(2))
    # Of a dilated maximum JAX has no derivative to compare with.
    dilation = tuple(int(d) for d in random.integers(1, 3 if kind == "sum" else 2, rank))
    # No window stands outside altogether.
    padding = [tuple(int(p) for p in random.integers(0, s, 2)) for s in size]
    reach = [(s - 1) * d + 1 for s, d in zip(size, dilation, strict=True)]
    sizes = [r + int(random.integers(0, 7)) for r in reach]
    ends = ((0, 0),)
    named = "SAME" if random.random() < 0.2 else (*ends, *padding, *ends)

    def run(x: jax.Array) -> jax.Array:
        return jax.lax.reduce_window(
            x,
            -jnp.inf if kind == "max" else 0.0,
            jax.lax.max if kind == "max" else jax.lax.add,
            (1, *size, 1),
            (1, *stride, 1),
            named,
            window_dilation=(1, *dilation, 1),
        )

    return run, random.integers(-2, 3, (2, *sizes, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in (8, 16))]
)
def test_poolings_of_any_kind(first: int) -> None:
    """Eight of them, each by its seed."""
    cases: dict[Any, Case] = {}
    for seed in range(first, first + 8):
        run, x = drawn_pooling(np.random.default_rng(seed))
        cases[seed] = run, (x,), False
        program = jax.make_jaxpr(lambda x, run=run: told(lowered_function(run, x), x))(x)
        left = {name for name in names(program) if "window" in name or "select_and" in name}
        assert not left, seed
    assert_all_same(cases)


def convolution(**params: Any) -> Function:
    """Channels last."""
    params = {"window_strides": (1, 1), "padding": "SAME", **params}
    return lambda x, w: jax.lax.conv_general_dilated(
        x, w, dimension_numbers=LAYOUTS[2][0], **params
    )


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# Name to the shapes of input and kernel, and parameters: the layers of known networks.
KNOWN: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "first, 7 x 7 / 2": ((2, 31, 30, 3), (7, 7, 3, 8), {"window_strides": (2, 2)}),
    "patches": ((2, 16, 12, 3), (4, 4, 3, 8), {"window_strides": (4, 4), "padding": "VALID"}),
    "1 x 1": ((2, 7, 5, 16), (1, 1, 16, 6), {}),
    "1 x 1 / 2": ((2, 7, 6, 16), (1, 1, 16, 6), {"window_strides": (2, 2)}),
    "1 x 1, padded": ((1, 5, 5, 4), (1, 1, 4, 6), {"padding": [(1, 2), (0, 3)]}),
    "1 x 1, spread": (
        (1, 4, 5, 4),
        (1, 1, 4, 6),
        {"lhs_dilation": (2, 3), "padding": [(0, 0), (1, 0)]},
    ),
    "depthwise 7 x 7": ((1, 9, 9, 12), (7, 7, 1, 12), {"feature_group_count": 12}),
    "depthwise 5 x 5 / 2": (
        (2, 12, 11, 24),
        (5, 5, 1, 24),
        {"feature_group_count": 24, "window_strides": (2, 2)},
    ),
    "depthwise, three each": ((1, 6, 6, 4), (3, 3, 1, 12), {"feature_group_count": 4}),
    "depthwise, large": ((1, 12, 12, 3), (11, 11, 1, 3), {"feature_group_count": 3}),
    "two groups": ((1, 9, 9, 48), (5, 5, 24, 16), {"feature_group_count": 2}),
    "32 groups / 2": (
        (1, 8, 8, 128),
        (3, 3, 4, 128),
        {"feature_group_count": 32, "window_strides": (2, 2)},
    ),
    "34 groups": ((1, 5, 5, 68), (3, 3, 2, 34), {"feature_group_count": 34}),
    "dilated": ((1, 12, 12, 5), (3, 3, 5, 4), {"rhs_dilation": (3, 2)}),
    "transposed": (
        (1, 6, 5, 5),
        (4, 4, 5, 3),
        {"lhs_dilation": (2, 2), "padding": [(2, 2), (2, 2)]},
    ),
}


def known(name: str, dtype: Any = np.float32) -> tuple[Function, tuple[np.ndarray, np.ndarray]]:
    image, kernel, params = KNOWN[name]
    arguments = normal(*image, dtype=dtype), normal(*kernel, dtype=dtype, seed=1)
    return convolution(**params), arguments


@pytest.mark.slow
def test_convolutions_of_known_networks() -> None:
    assert_all_same({name: (*known(name), True) for name in KNOWN})


def test_half_precision_stays_so() -> None:
    names = ["first, 7 x 7 / 2", "1 x 1", "depthwise 7 x 7", "two groups"]
    cases: dict[Any, Case] = {name: (*known(name, jnp.bfloat16), False) for name in names}
    assert_all_same(cases, atol=0.02)  # of eight bits, and sums in another order


@pytest.mark.parametrize("name", ["patches", "1 x 1", "depthwise 5 x 5 / 2", "two groups"])
def test_no_slow_operation_is_left(name: str) -> None:
    function, (x, w) = known(name)
    run = lowered_function(function, x, w)
    program = used(jax.make_jaxpr(jax.grad(lambda x: run(x, w).sum()))(x))
    left = [e for e in walk(program.jaxpr) if e.primitive.name == "conv_general_dilated"]
    if "1 x 1" in name or "depthwise" in name:
        assert not left
        return
    for eqn in left:
        numbers = eqn.params["dimension_numbers"]
        assert eqn.params["feature_group_count"] == 1
        assert tuple(numbers) == ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))


def test_the_first_of_equal_values_gets_the_derivative() -> None:
    rows = [[3, 1, 3, 0], [0, 3, 3, 3], [3, 3, 0, 0], [0, 0, 0, 0]]
    x = np.array(rows, np.float32)[None, :, :, None]
    pool = partial(
        jax.lax.reduce_window,
        init_value=-jnp.inf,
        computation=jax.lax.max,
        window_dimensions=(1, 3, 3, 1),
        window_strides=(1, 1, 1, 1),
        padding="VALID",
    )
    got = at_once(jax.grad(lambda x: lowered_function(pool, x)(x).sum()), x)
    expected = [[1, 0, 1, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(got[0, :, :, 0], expected)


def maximum(x: jax.Array, **params: Any) -> jax.Array:
    """Maximum of 2 x 2 values."""
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID", **params
    )


def test_nan_is_a_maximum() -> None:
    x = normal(1, 3, 3, 1)
    x[0, 1, 0, 0] = np.nan

    def run(x: jax.Array) -> Any:
        got, back = jax.vjp(lowered_function(maximum, x), x)
        return got, back(jnp.ones_like(got))[0]

    got, slope = at_once(run, x)
    np.testing.assert_array_equal(np.isnan(got[0, :, :, 0]), [[True, False], [True, False]])
    assert slope[0, 1, 0, 0] == 2


def test_dilated_maximum_has_a_derivative() -> None:
    x = normal(1, 6, 5, 2)
    pool = partial(maximum, window_dilation=(1, 3, 2, 1))

    def stacked(x: jax.Array) -> jax.Array:
        return jnp.stack([x[:, i : i + 3, j : j + 3] for i in (0, 3) for j in (0, 2)]).max(axis=0)

    (got, slope), (expected, expected_slope) = both(lowered_function(pool, x), stacked, x)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(slope, expected_slope, atol=1e-6)


def net(x: jax.Array, w: jax.Array, v: jax.Array) -> jax.Array:
    """Two convolutions, a loop around one, a branch and poolings inside of calls."""

    @jax.checkpoint
    def block(x: jax.Array) -> jax.Array:
        return jax.nn.gelu(maximum(convolution()(x, w)))

    def step(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        return x + 0.1 * convolution(feature_group_count=4)(x, v), None

    x = jax.jit(block)(x)
    x, _ = jax.lax.scan(step, x, None, length=3)
    return jax.lax.cond(x.sum() > 0, lambda x: maximum(x), lambda x: x[:, 1:, 1:] * 2, x)


def test_programs_with_calls_loops_and_branches() -> None:
    arguments = normal(2, 8, 8, 3), normal(3, 3, 3, 4, seed=1), normal(3, 3, 1, 4, seed=2)
    assert_same(net, *arguments, prepared=True)
    closed = lowered(jax.make_jaxpr(net)(*arguments))
    assert {"scan", "cond"} <= names(closed)
    assert "reduce_window_max" not in names(closed)
    forms = {e.params["feature_group_count"] for e in walk(closed.jaxpr) if _is_convolution(e)}
    assert forms == {1}  # that of the loop is no convolution any more


def _is_convolution(eqn: Any) -> bool:
    return eqn.primitive.name == "conv_general_dilated"


def test_a_derivative_of_the_users_own_is_kept() -> None:
    @jax.custom_vjp
    def doubled(x: jax.Array, w: jax.Array) -> jax.Array:
        return convolution()(x, w)

    doubled.defvjp(
        lambda x, w: (doubled(x, w), (x, w)),
        lambda kept, g: (2 * jax.vjp(convolution(), *kept)[1](g)[0], 0 * kept[1]),
    )
    x, w = normal(1, 5, 5, 3), normal(3, 3, 3, 4, seed=1)
    assert_same(lambda x, w: doubled(convolution()(x, w[..., :3]), w), x, w)


def test_second_derivatives_by_input_and_kernel() -> None:
    x, w, v = normal(1, 6, 6, 3), normal(3, 3, 3, 4, seed=1), normal(3, 3, 1, 4, seed=2)

    def network(x: jax.Array, w: jax.Array, v: jax.Array) -> jax.Array:
        y = jnp.tanh(convolution(window_strides=(2, 2))(x, w))
        return jnp.tanh(convolution(feature_group_count=4)(y, v))

    def steepness(function: Function) -> Function:
        slope = jax.grad(lambda *a: (function(*a) ** 2).sum(), argnums=(0, 1, 2))
        return lambda *a: sum((g**2).sum() for g in slope(*a))

    one, other = both(
        steepness(lowered_function(network, x, w, v, prepared=True)), steepness(network), x, w, v
    )
    for got, expected in zip(one, other, strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("channels", [3, 64], ids=["convolution", "few products"])
def test_one_program_is_differentiated_by_input_and_kernel_in_turns(channels: int) -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(1, 6, 6, channels)).astype(np.float32)
    kernel = random.normal(size=(3, 3, channels, channels)).astype(np.float32)

    def f(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)

    found = lowered_function(f, x, kernel)

    def slopes(of: Function, x: jax.Array, kernel: jax.Array) -> list[Any]:
        total = lambda *arguments: (of(*arguments) ** 2).sum()  # noqa: E731
        return [jax.grad(total, by)(x, kernel) for by in ((0,), (0, 1), (0,), (1,), (0, 1))]

    got, expected = at_once(lambda *given: (slopes(found, *given), slopes(f, *given)), x, kernel)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4 * np.abs(other).max())


def test_vmap_and_forward_derivatives() -> None:
    x, w = normal(3, 1, 6, 6, 3), normal(3, 3, 3, 4, seed=1)
    run = lowered_function(lambda x, w: maximum(convolution()(x, w)), x[0], w)

    def slopes(x: jax.Array) -> Any:
        plain = jax.grad(lambda x: maximum(convolution()(x[:, 0], w)).sum())
        return jax.vmap(jax.grad(lambda x: run(x, w).sum()))(x), plain(x)

    slope, expected = at_once(slopes, x)
    np.testing.assert_allclose(slope, expected, atol=1e-5)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: run(x, w), (x[0],), (x[0],))


def test_whole_numbers_and_wide_windows_stay_as_they_are() -> None:
    counts = np.arange(64, dtype=np.int32).reshape(1, 8, 8, 1)
    pool = partial(
        jax.lax.reduce_window,
        init_value=0,
        computation=jax.lax.add,
        window_dimensions=(1, 2, 2, 1),
        window_strides=(1, 2, 2, 1),
        padding="VALID",
    )
    closed = jax.make_jaxpr(pool)(counts)
    assert names(lowered(closed)) == names(closed)
    wide = jax.make_jaxpr(partial(pool, init_value=0.0, window_dimensions=(1, 40, 1, 1)))(
        normal(1, 64, 2, 1)
    )
    assert names(lowered(wide)) == names(wide) == {"reduce_window_sum"}


def test_kernels_are_found_once_each() -> None:
    def twice(w: jax.Array, v: jax.Array, x: jax.Array) -> jax.Array:
        x = jax.jit(convolution())(convolution()(x, w), w)
        return convolution()(convolution()(x, v), 2 * w)  # 1 x 1; made in the program

    closed = jax.make_jaxpr(twice)(normal(3, 3, 2, 2), normal(1, 1, 2, 2), normal(1, 5, 5, 2))
    ((place, form),) = kernels(closed)
    assert place == 0
    w = np.arange(2 * 2 * 3 * 4.0).reshape(2, 2, 3, 4)
    np.testing.assert_array_equal(form.turned(w)[0, 1, 3, 2], w[1, 0, 2, 3])
