"""Small programs of every kind that reports run, with what they give by NumPy in float64.

Sizes are odd, so that loops over vectors, blocks and threads leave a rest; inputs are drawn from a
seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.extend.core import jaxpr_as_fun

from reportgen.rewrite.cpu import lowered
from reportgen.rewrite.geometry import Geometry, Sizes

Arrays = tuple[np.ndarray, ...]
Draw = Callable[..., np.ndarray]  # normal numbers of a shape, in float32

# As shares of an answer's largest number. Sums of a few hundred terms of either sign, rounded to 24
# bits in whatever order, were off by 6e-7 at the most wherever the build was right.
_FLOAT32 = 1e-5
# An accelerator may round what it multiplies to 11 bits (TF32) or 8 (bfloat16).
_COARSE = 2e-2


@dataclass(frozen=True, eq=False)
class Known:
    """A program and its answers.

    Attributes:
      parts: names of what it returns, one an array.
      of: a function of JAX arrays.
      answer: what it gives by NumPy, of float64 arrays, and behind that its gradients, if ``by``.
      inputs: float32 arrays.
      by: the number of an input: the program returns the gradient by it too, or it alone if there
        is one part. The last input are then the weights of the sum that is differentiated.
      products: it multiplies matrices, which accelerators may do with fewer digits.
      lowers: reports run it in other operations on a CPU.
      slow: it takes long to compile, or is much like another one: not for every report.
    """

    parts: tuple[str, ...]
    of: Callable[..., Any]
    answer: Callable[..., Any]
    inputs: Arrays
    by: int | None = None
    products: bool = False
    lowers: bool = False
    slow: bool = False

    def run(self, *inputs: Any) -> tuple[Any, ...]:
        """The program: an array for each part; traced by JAX."""
        number = self.by
        if number is None:
            return _several(self.of(*inputs))
        *own, weights = inputs
        made, back = jax.vjp(
            lambda one: self.of(*own[:number], one, *own[number + 1 :]), own[number]
        )
        return (made, *back(weights))[-len(self.parts) :]

    def expected(self) -> Arrays:
        """What ``run`` should return, in float64."""
        found = _several(self.answer(*(array.astype(np.float64) for array in self.inputs)))
        if self.by is None:
            return found
        return (found[0], found[1 + self.by])[-len(self.parts) :]

    def tolerance(self, exact: bool) -> float:
        """Of an element, as a share of the largest one.

        Args:
          exact: products are those of float32.
        """
        return _COARSE if self.products and not exact else _FLOAT32

    def lowered(self) -> Known:
        """The same in the operations that reports run on a CPU."""
        own = self.inputs if self.by is None else self.inputs[:-1]
        run = jaxpr_as_fun(lowered(jax.make_jaxpr(self.of)(*own)))
        parts = tuple(f"{name}, as lowered for CPUs" for name in self.parts)
        return replace(self, parts=parts, of=lambda *inputs: run(*inputs)[0])


def _several(made: Any) -> tuple[Any, ...]:
    return tuple(made) if isinstance(made, tuple | list) else (made,)


def programs() -> tuple[Known, ...]:
    """All that may be run in any process, as written and as lowered for CPUs."""
    return (*_written(), *(one.lowered() for one in _written() if one.lowers))


def programs_of_reports(lowerings: bool) -> tuple[Known, ...]:
    """What a report runs before all else: few that are quickly compiled, of each kind.

    Args:
      lowerings: its networks run in the operations for CPUs.
    """
    found = [one for one in _written() if not one.slow]
    return tuple(one.lowered() if lowerings and one.lowers else one for one in found)


@cache
def risky_programs() -> tuple[Known, ...]:
    """Those that crashed or hung with some builds: for a process of their own.

    On x86-64 under Linux: jax-ml/jax issues 40412 (jaxlib 0.10.2), 39257 (0.10.2 and 0.11.0).
    """
    random = np.random.default_rng(1)
    pair = tuple(random.random((3, 1, 2, 2, 8, 8, 8), np.float32) for _ in range(2))
    one, other = (random.random(shape, np.float32) for shape in ((10, 4, 6), (10, 4, 6, *[9] * 5)))

    def products(a: Any, b: Any) -> Any:
        return (a * b).sum(3)

    def met(a: Any, b: Any) -> Any:
        return (a[..., None, None, None, None, None] * b).sum(2)

    return (
        Known(("sum of products of rank 7",), products, products, pair),
        Known(("sum of products of rank 8",), met, met, (one, other)),
    )


@cache
def _written() -> tuple[Known, ...]:
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32)

    kinds = (_reductions, _products, _functions, _convolutions, _poolings)
    return tuple(known for kind in kinds for known in kind(normal))


def _reductions(normal: Draw) -> Iterator[Known]:
    # jax-ml/jax issue 39103: of more than 32,768 rows jaxlib 0.10.2 computes the last ones wrongly.
    yield Known(
        ("sum of squares of a matrix times each row, 32769 × 3",),
        lambda rows, m: jax.vmap(lambda row: jnp.sum((m @ row) ** 2))(rows),
        lambda rows, m: ((rows @ m.T) ** 2).sum(1),
        (normal(32769, 3), normal(3, 3)),
        products=True,
    )
    yield Known(
        tuple(f"{what}, 4099 × 17" for what in ("sum", "sums of rows", "means of columns", "max")),
        lambda x: (jnp.abs(x).sum(), (x * x).sum(1), jnp.exp(x).mean(0), x.max(1)),
        lambda x: (np.abs(x).sum(), (x * x).sum(1), np.exp(x).mean(0), x.max(1)),
        (normal(4099, 17),),
    )
    yield Known(
        ("sum of products of rank 6",),
        lambda a, b: (a * b).sum((1, 3, 5)),
        lambda a, b: (a * b).sum((1, 3, 5)),
        (normal(3, 2, 5, 3, 7, 9), normal(3, 2, 5, 3, 7, 9)),
    )

    def normed(x: Any) -> Any:
        apart = x - x.mean((0, 1, 2))
        return apart / ((apart * apart).mean((0, 1, 2)) + 1e-3) ** 0.5

    yield Known(("batch norm",), normed, normed, (normal(3, 13, 11, 9),), slow=True)


def _products(normal: Draw) -> Iterator[Known]:
    yield Known(
        ("matrix product, 65 × 257 × 33",),
        lambda a, b: a @ b,
        lambda a, b: a @ b,
        (normal(65, 257), normal(257, 33)),
        products=True,
    )
    yield Known(
        ("6 matrix products, 17 × 31 × 19",),
        lambda a, b: jnp.einsum("nij,nkj->nik", a, b),
        lambda a, b: np.einsum("nij,nkj->nik", a, b),
        (normal(6, 17, 31), normal(6, 19, 31)),
        products=True,
    )
    yield Known(
        ("dense layer with ReLU, 131 to 10",),
        lambda x, m, b: jnp.maximum(x @ m + b, 0),
        lambda x, m, b: np.maximum(x @ m + b, 0),
        (normal(5, 131), normal(131, 10), normal(10)),
        products=True,
    )


def _functions(normal: Draw) -> Iterator[Known]:
    def softmax(x: np.ndarray, weights: np.ndarray) -> Arrays:
        made = scipy.special.softmax(x, 1)
        return made, made * (weights - (weights * made).sum(1, keepdims=True))

    whole, gradient = _with_gradient("softmax of 1003")
    x, weights = normal(7, 1003), normal(7, 1003)
    yield Known((whole,), jax.nn.softmax, lambda x: scipy.special.softmax(x, 1), (x,))
    yield Known((gradient,), jax.nn.softmax, softmax, (x, weights), by=0, slow=True)

    def curves(x: jax.Array) -> jax.Array:
        erf = jax.scipy.special.erf(x)
        return jnp.stack([jnp.tanh(x), jax.nn.sigmoid(x), erf, jnp.exp(-x * x), jnp.sin(x)])

    def exact(x: np.ndarray) -> np.ndarray:
        erf, logistic = scipy.special.erf(x), scipy.special.expit(x)
        return np.stack([np.tanh(x), logistic, erf, np.exp(-x * x), np.sin(x)])

    yield Known(("tanh, logistic, erf, exp, sin",), curves, exact, (normal(2051) * 3,))
    yield Known(
        ("17 largest of 1031",),
        lambda x: jax.lax.top_k(x, 17)[0],
        lambda x: -np.sort(-x, 1)[:, :17],
        (normal(7, 1031),),
    )

    def scanned(x: jax.Array, m: jax.Array) -> jax.Array:
        def step(state: jax.Array, own: jax.Array) -> tuple[jax.Array, jax.Array]:
            state = jnp.tanh(state @ m + own)
            return state, state

        return jax.lax.scan(step, jnp.zeros_like(x[0]), x)[1]

    def looped(x: np.ndarray, m: np.ndarray) -> np.ndarray:
        states = [np.zeros_like(x[0])]
        for own in x:
            states.append(np.tanh(states[-1] @ m + own))
        return np.stack(states[1:])

    inputs = normal(11, 5, 7), normal(7, 7) / 4
    yield Known(("scan of 11 rounds",), scanned, looped, inputs, products=True)


def _with_gradient(name: str) -> tuple[str, str]:
    return name, f"{name}: gradient by the input"


class _Case(NamedTuple):
    """A convolution of (2, *sizes, inputs) with a kernel (*kernel, inputs / groups, outputs)."""

    name: str
    sizes: Sizes
    inputs: int
    kernel: Sizes
    outputs: int
    strides: Sizes = (1, 1)
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    spread: Sizes = (1, 1)
    dilation: Sizes = (1, 1)
    groups: int = 1
    slow: bool = False


_EDGES = ((1, 1), (1, 1))
_CASES = (
    _Case("5 × 5, stride 2", (23, 21), 3, (5, 5), 9, (2, 2), ((2, 1), (2, 2))),
    _Case("1 × 1, stride 2", (11, 9), 19, (1, 1), 7, (2, 2)),
    _Case(
        *("3 × 3, stride 2, dilation 2, groups 2", (19, 17), 6, (3, 3), 10),
        *((2, 2), ((2, 2), (1, 2)), (1, 1), (2, 2), 2),
    ),
    _Case("2 × 2, depthwise", (12, 11), 13, (2, 2), 13, padding=_EDGES, groups=13, slow=True),
    _Case("3 × 2, transposed, stride 2", (7, 6), 9, (3, 2), 8, (1, 1), _EDGES, (2, 2)),
    # Of as many channels as Winograd's filtering takes.
    _Case("3 × 3, 33 to 35 channels", (13, 11), 33, (3, 3), 35, padding=_EDGES, slow=True),
)


def _convolutions(normal: Draw) -> Iterator[Known]:
    for case in _CASES:
        places = case.strides, case.padding, case.spread, case.dilation
        where = Geometry(case.sizes, case.kernel, *places, case.groups, None)
        name = f"convolution {case.name}"
        made = Known(
            parts=_with_gradient(name),
            of=partial(_convolved, where),
            answer=partial(_by_places, where),
            inputs=(
                normal(2, *case.sizes, case.inputs),
                normal(*case.kernel, case.inputs // case.groups, case.outputs),
                normal(2, *where.outputs, case.outputs),
            ),
            by=0,
            products=True,
            lowers=True,
            slow=case.slow,
        )
        yield made
        # No method of a report differentiates by weights.
        by_kernel = (f"{name}: gradient by the kernel",)
        yield replace(made, parts=by_kernel, by=1, slow=True, lowers=False)


def _convolved(where: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        where.strides,
        where.padding,
        where.spread,
        where.dilation,
        ("NHWC", "HWIO", "NHWC"),
        where.groups,
    )


def _by_places(where: Geometry, x: np.ndarray, kernel: np.ndarray, weights: np.ndarray) -> Arrays:
    """A convolution and its gradients by x and kernel, one place of the kernel after another."""
    groups = where.groups
    across = list(zip(where.sizes, where.spread, where.padding, strict=True))
    sizes = [(size - 1) * step + 1 + sum(pad) for size, step, pad in across]
    inner = [
        slice(before, whole - after, step)
        for whole, (_, step, (before, after)) in zip(sizes, across, strict=True)
    ]
    padded = np.zeros((len(x), *sizes, x.shape[-1]))
    padded[:, *inner] = x
    by_x = np.zeros_like(padded)
    apart = kernel.reshape(*where.kernel, -1, groups, kernel.shape[-1] // groups)
    by_kernel = np.zeros_like(apart)
    shares = weights.reshape(*weights.shape[:-1], groups, -1)
    made = np.zeros_like(shares)
    for place in np.ndindex(*where.kernel):
        met = (slice(None), *_met(where, place))
        window = padded[met].reshape(*made.shape[:-1], -1)
        made += np.einsum("nhwgc,cgo->nhwgo", window, apart[place])
        by_kernel[place] = np.einsum("nhwgc,nhwgo->cgo", window, shares)
        by_x[met] += np.einsum("nhwgo,cgo->nhwgc", shares, apart[place]).reshape(padded[met].shape)
    return made.reshape(weights.shape), by_x[:, *inner], by_kernel.reshape(kernel.shape)


def _met(where: Geometry, place: Sizes) -> Iterator[slice]:
    """The padded input's places that a place of the kernel meets."""
    for i, apart, count, step in zip(
        place, where.dilation, where.outputs, where.strides, strict=True
    ):
        yield slice(i * apart, i * apart + (count - 1) * step + 1, step)


# Of x (2, 15, 13, 5), in steps of two in the directions that the windows extend in.
_POOLED, _PADDING = (2, 15, 13, 5), ((0, 0), (1, 1), (0, 0), (0, 0))


def _poolings(normal: Draw) -> Iterator[Known]:
    for size in ((3, 1), (3, 3)):
        for kind in ("maximum", "mean"):
            outputs = 8, 13 if size[1] == 1 else 6
            yield Known(
                parts=_with_gradient(f"{kind} of {size[0]} × {size[1]}, stride 2"),
                of=partial(_pooled, kind, size),
                answer=partial(_by_windows, kind, size),
                inputs=(normal(*_POOLED), normal(2, *outputs, 5)),
                by=0,
                lowers=True,
                slow=size == (3, 3) or kind == "mean",
            )


def _strides(size: Sizes) -> Sizes:
    return tuple(min(2, length) for length in size)


def _pooled(kind: str, size: Sizes, x: jax.Array) -> jax.Array:
    windows = (1, *size, 1), (1, *_strides(size), 1), _PADDING
    if kind == "maximum":
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, *windows)
    return jax.lax.reduce_window(x, 0.0, jax.lax.add, *windows) / math.prod(size)


def _by_windows(kind: str, size: Sizes, x: np.ndarray, weights: np.ndarray) -> Arrays:
    """A pooling and its gradient, one place of the windows after another."""
    padded = np.pad(x, _PADDING, constant_values=-np.inf if kind == "maximum" else 0.0)
    across = list(zip(weights.shape[1:3], _strides(size), strict=True))
    met = [
        (
            slice(None),
            *(
                slice(i, i + (count - 1) * step + 1, step)
                for i, (count, step) in zip(place, across, strict=True)
            ),
        )
        for place in np.ndindex(*size)
    ]
    places = np.stack([padded[one] for one in met])
    made = places.max(0) if kind == "maximum" else places.mean(0)
    shares = places == made if kind == "maximum" else np.full(places.shape, 1 / len(places))
    by_x = np.zeros_like(padded)
    for one, share in zip(met, shares, strict=True):
        by_x[one] += share * weights
    return made, by_x[:, 1:-1]
