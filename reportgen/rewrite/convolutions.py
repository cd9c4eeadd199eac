"""Convolutions in the forms that XLA's CPU backend is fast at, with derivatives in such forms too.

That backend has a fast convolution for channels last and kernels (H, W, I, O), and inside of loops
it does not bring others into that form by itself: there a plain derivative takes several times as
long. Kernels of one position are matrix products, those of 3 × 3 take fewer of them
(``winograd.py``); of depthwise and grouped convolutions it has no fast form at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import JaxprEqn

from reportgen.rewrite import winograd
from reportgen.rewrite.interpreter import shape_of

# A depthwise convolution is one multiplication for each place of the kernel, up to so many.
_MOST_PLACES = 81
# Groups of fewer channels than this are merged, by zeros in the kernel, and more than this many
# groups as well: every group is an operation of its own.
_FEWEST_CHANNELS = 16
_MOST_GROUPS = 16

Sizes = tuple[int, ...]


class KernelForm(NamedTuple):
    """How a program keeps a kernel.

    Attributes:
      axes: of the outputs, the inputs and each direction.
      groups: of channels.
      minimal: it is convolved by Winograd's minimal filtering, where the input's size allows it.
    """

    axes: Sizes
    groups: int
    minimal: bool

    def is_matrix(self, shape: Sizes) -> bool:
        """Whether a kernel of this shape is one matrix; it need not be turned."""
        return self.groups == 1 and math.prod(shape[axis] for axis in self.axes[2:]) == 1

    def canonical(self, kernel: Any) -> Any:
        """(*directions, inputs of a group, outputs)."""
        outputs, inputs, *directions = self.axes
        return kernel.transpose(*directions, inputs, outputs)

    def prepared(self, kernel: Any) -> Any:
        """What is best made once of a kernel, before loops; of an array of JAX or NumPy."""
        return winograd.sixteen(self.canonical(kernel)) if self.minimal else self.turned(kernel)

    def turned(self, kernel: Any) -> Any:
        """The canonical kernel of the derivative by the input; of an array of JAX or NumPy."""
        kernel = self.canonical(kernel)
        *sizes, inputs, outputs = kernel.shape
        rank, groups = len(sizes), self.groups
        kernel = kernel[(slice(None, None, -1),) * rank]
        kernel = kernel.reshape(*sizes, inputs, groups, outputs // groups)
        kernel = kernel.transpose(*range(rank), rank + 2, rank + 1, rank)
        return kernel.reshape(*sizes, outputs // groups, groups * inputs)


@dataclass(frozen=True)
class Geometry:
    """A convolution of x (N, *directions, C) with a kernel (*directions, C / groups, outputs).

    Attributes:
      sizes: of x in each direction.
      kernel: sizes of the kernel.
      spread: input places are so far apart, zeros between them (``lhs_dilation``).
      dilation: of the kernel.
    """

    sizes: Sizes
    kernel: Sizes
    strides: Sizes
    padding: tuple[tuple[int, int], ...]
    spread: Sizes
    dilation: Sizes
    groups: int
    precision: Any

    @property
    def rank(self) -> int:
        """Number of directions."""
        return len(self.sizes)

    @property
    def reaches(self) -> Sizes:
        """Sizes of the dilated kernel."""
        return _apart(self.kernel, self.dilation)

    @property
    def outputs(self) -> Sizes:
        """Sizes of the output."""
        return tuple(
            (size + sum(pad) - reach) // stride + 1
            for size, pad, reach, stride in zip(
                _apart(self.sizes, self.spread),
                self.padding,
                self.reaches,
                self.strides,
                strict=True,
            )
        )

    def transposed(self) -> Geometry:
        """The convolution that is this one's derivative by its input."""
        before = [reach - 1 - pad[0] for reach, pad in zip(self.reaches, self.padding, strict=True)]
        apart = _apart(self.outputs, self.strides)
        after = [
            size + reach - 1 - out - near
            for size, reach, out, near in zip(
                _apart(self.sizes, self.spread), self.reaches, apart, before, strict=True
            )
        ]
        return replace(
            self,
            sizes=self.outputs,
            strides=self.spread,
            spread=self.strides,
            padding=tuple(zip(before, after, strict=True)),
        )


def _apart(sizes: Sizes, steps: Sizes) -> Sizes:
    return tuple((size - 1) * step + 1 for size, step in zip(sizes, steps, strict=True))


def kernel_form(eqn: JaxprEqn) -> KernelForm | None:
    """How an operation's kernel is kept, if its convolution is lowered; None if it is not."""
    if eqn.primitive.name != "conv_general_dilated":
        return None
    x, kernel = eqn.invars
    dtypes = {jnp.dtype(v.aval.dtype) for v in (x, kernel, *eqn.outvars)}  # type: ignore[attr-defined]
    plain = (
        len(dtypes) == 1
        and all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes)
        and eqn.params["batch_group_count"] == 1
        and len(shape_of(x)) > 2
        and 0 not in (*shape_of(x), *shape_of(kernel), *shape_of(eqn.outvars[0]))
    )
    if not plain:
        return None
    groups = eqn.params["feature_group_count"]
    axes = tuple(eqn.params["dimension_numbers"].rhs_spec)
    steps = ("window_strides", "lhs_dilation", "rhs_dilation")
    dense = groups == 1 and all(step == 1 for name in steps for step in eqn.params[name])
    outputs, inputs, *directions = (shape_of(kernel)[axis] for axis in axes)
    minimal = (
        dense and dtypes <= {jnp.dtype("f4"), jnp.dtype("f8")}
        and winograd.pays((*directions, inputs, outputs))
    )  # fmt: skip
    return KernelForm(axes, groups, minimal)


def convolved(
    eqn: JaxprEqn, form: KernelForm, x: jax.Array, kernel: jax.Array, prepared: jax.Array | None
) -> jax.Array:
    """A convolution's output.

    Args:
      form: of the kernel.
      prepared: the kernel as ``form`` prepares it, if that is at hand.
    """
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    batch, channels, *directions = numbers.lhs_spec
    x = x.transpose(batch, *directions, channels)
    weights = form.canonical(kernel)
    geometry = Geometry(
        sizes=x.shape[1:-1],
        kernel=weights.shape[:-2],
        strides=tuple(params["window_strides"]),
        padding=tuple(map(tuple, params["padding"])),
        spread=tuple(params["lhs_dilation"]),
        dilation=tuple(params["rhs_dilation"]),
        groups=form.groups,
        precision=params["precision"],
    )
    if form.is_matrix(kernel.shape):
        output = _pointwise(geometry, x, weights)
    elif form.minimal and winograd.pays_for(x.shape, weights.shape, x.dtype.itemsize):
        factors = form.prepared(kernel) if prepared is None else prepared
        output = _minimal(geometry, False, x, weights, factors)
    else:
        at_hand = prepared is not None and not form.minimal
        output = _convolved(geometry, x, weights, prepared if at_hand else form.turned(kernel))
    order = [0] * output.ndim
    for place, axis in enumerate((0, output.ndim - 1, *range(1, output.ndim - 1))):
        order[numbers.out_spec[place]] = axis
    return output.transpose(order)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _convolved(geometry: Geometry, x: jax.Array, kernel: jax.Array, turned: jax.Array) -> jax.Array:
    """Convolve; the derivative convolves with the turned kernel, whose own is then this kernel."""
    return _run(geometry, x, kernel)


def _forward(geometry: Geometry, x: Any, kernel: Any, turned: Any) -> tuple[jax.Array, Any]:
    output = _convolved(geometry, x.value, kernel.value, turned.value)
    return output, (x.value if kernel.perturbed else None, kernel.value, turned.value)


def _backward(
    geometry: Geometry, kept: Any, cotangent: Any
) -> tuple[jax.Array | None, jax.Array | None, None]:
    x, kernel, turned = kept
    if isinstance(cotangent, SymbolicZero):
        return None, None, None
    by_x = _convolved(geometry.transposed(), cotangent, turned, kernel)
    return by_x, None if x is None else _by_kernel(geometry, x, kernel, cotangent), None


_convolved.defvjp(_forward, _backward, symbolic_zeros=True)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _minimal(
    geometry: Geometry, turned: bool, x: jax.Array, kernel: jax.Array, factors: jax.Array
) -> jax.Array:
    """Convolve by the factors of a kernel or, turned, of the one whose derivative this is."""
    return winograd.convolved(
        x, factors, geometry.padding, turned=turned, precision=geometry.precision
    )


def _minimal_forward(
    geometry: Geometry, turned: bool, x: Any, kernel: Any, factors: Any
) -> tuple[jax.Array, Any]:
    output = _minimal(geometry, turned, x.value, kernel.value, factors.value)
    return output, (x.value if kernel.perturbed else None, kernel.value, factors.value)


def _minimal_backward(
    geometry: Geometry, turned: bool, kept: Any, cotangent: Any
) -> tuple[jax.Array | None, jax.Array | None, None]:
    x, kernel, factors = kept
    if isinstance(cotangent, SymbolicZero):
        return None, None, None
    back = kernel[::-1, ::-1].swapaxes(-1, -2)
    by_x = _minimal(geometry.transposed(), not turned, cotangent, back, factors)
    return by_x, None if x is None else _by_kernel(geometry, x, kernel, cotangent), None


_minimal.defvjp(_minimal_forward, _minimal_backward, symbolic_zeros=True)


def _by_kernel(
    geometry: Geometry, x: jax.Array, kernel: jax.Array, cotangent: jax.Array
) -> jax.Array:
    back: jax.Array = jax.vjp(lambda kernel: _run(geometry, x, kernel), kernel)[1](cotangent)[0]
    return back


def _run(geometry: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if geometry.groups == 1:
        return _dense(geometry, x, kernel)
    inputs, outputs = kernel.shape[-2:]
    if 1 in (inputs, outputs // geometry.groups) and math.prod(geometry.kernel) <= _MOST_PLACES:
        return _depthwise(geometry, x, kernel)
    return _grouped(geometry, x, kernel)


def _dense(geometry: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    first, last = 0, geometry.rank + 1
    directions = tuple(range(1, last))
    spec = (first, last, *directions)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        geometry.strides,
        geometry.padding,
        geometry.spread,
        geometry.dilation,
        jax.lax.ConvDimensionNumbers(spec, (last, last - 1, *range(last - 1)), spec),
        geometry.groups,
        precision=geometry.precision,
    )


def _pointwise(geometry: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A kernel of one place, as a matrix product; its derivatives are JAX's own."""
    spread = any(step > 1 for step in geometry.spread)
    if not spread:
        x = _placed(geometry, x)
    matrix = kernel.reshape(kernel.shape[-2:])
    contracted = (((x.ndim - 1,), (0,)), ((), ()))
    y = jax.lax.dot_general(x, matrix, contracted, precision=geometry.precision)
    return _placed(geometry, y) if spread else y


def _placed(geometry: Geometry, x: jax.Array) -> jax.Array:
    """Input places spread out and padded, and of them those in steps of the stride."""
    edges = ((0, 0), *geometry.padding, (0, 0))
    steps = (1, *geometry.spread, 1)
    config = [(*edge, step - 1) for edge, step in zip(edges, steps, strict=True)]
    if any(part != (0, 0, 0) for part in config):
        x = jax.lax.pad(x, jnp.zeros((), x.dtype), config)
    if any(stride > 1 for stride in geometry.strides):
        x = jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *geometry.strides, 1))
    return x


def _grouped(geometry: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Group by group; several small groups are one, with zeros where they do not meet."""
    groups, inputs = geometry.groups, kernel.shape[-2]
    least = max(-(-_FEWEST_CHANNELS // inputs), -(-groups // _MOST_GROUPS))
    merged = next((count for count in range(least, groups) if groups % count == 0), groups)
    sizes, outputs = kernel.shape[:-2], kernel.shape[-1] // groups
    apart = kernel.reshape(*sizes, 1, inputs, groups // merged, merged, outputs)
    meets = jnp.eye(merged, dtype=kernel.dtype).reshape(merged, 1, 1, merged, 1)
    kernel = (apart * meets).reshape(*sizes, merged * inputs, groups * outputs)
    one = replace(geometry, groups=1)
    parts = groups // merged
    pieces = zip(jnp.split(x, parts, -1), jnp.split(kernel, parts, -1), strict=True)
    return jnp.concatenate([_dense(one, *piece) for piece in pieces], -1)


def _depthwise(geometry: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Groups of one input or of one output each: a sum of products for each place of the kernel."""
    groups, inputs = geometry.groups, kernel.shape[-2]
    if inputs == 1:
        x = jnp.repeat(x, kernel.shape[-1] // groups, -1)
        return _by_places(geometry, x, kernel[..., 0, :])
    # The other way round: what a group's inputs give is added up.
    weights = kernel.swapaxes(-1, -2).reshape(*kernel.shape[:-2], groups * inputs)
    y = _by_places(geometry, x, weights)
    return y.reshape(*y.shape[:-1], groups, inputs).sum(-1)


def _by_places(geometry: Geometry, x: jax.Array, weights: jax.Array) -> jax.Array:
    """Channel by channel, with weights (*kernel, C)."""
    rank = geometry.rank
    if any(step > 1 for step in geometry.spread):
        if all(step == 1 for step in (*geometry.strides, *geometry.dilation)):
            return _by_phases(geometry, x, weights)
        x = _placed(replace(geometry, strides=(1,) * rank), x)
    else:
        x = _padded(x, geometry.padding)
    wide = jnp.promote_types(x.dtype, jnp.float32)  # a long sum in half precision is none
    terms = []
    for place in product(*map(range, geometry.kernel)):
        starts = [i * step for i, step in zip(place, geometry.dilation, strict=True)]
        ends = [
            start + (count - 1) * stride + 1
            for start, count, stride in zip(starts, geometry.outputs, geometry.strides, strict=True)
        ]
        part = jax.lax.slice(
            x,
            (0, *starts, 0),
            (x.shape[0], *ends, x.shape[-1]),
            (1, *geometry.strides, 1),
        )
        terms.append(part.astype(wide) * weights[place])
    return reduce(jnp.add, terms).astype(x.dtype)


def _by_phases(geometry: Geometry, x: jax.Array, weights: jax.Array) -> jax.Array:
    """A spread input without multiplying its zeros.

    Output places that are a spread apart meet the same part of the kernel.
    """
    rank, spread = geometry.rank, geometry.spread
    rounds = tuple(-(-out // step) for out, step in zip(geometry.outputs, spread, strict=True))
    phases = []
    for phase in product(*map(range, spread)):
        near = [pad[0] for pad in geometry.padding]
        first = [(n - p) % s for n, p, s in zip(near, phase, spread, strict=True)]
        part = weights[tuple(slice(f, None, s) for f, s in zip(first, spread, strict=True))]
        before = [(n - p - f) // s for n, p, f, s in zip(near, phase, first, spread, strict=True)]
        padding = tuple(
            (lo, count + taps - 1 - size - lo)
            for lo, count, taps, size in zip(
                before, rounds, part.shape[:-1], geometry.sizes, strict=True
            )
        )
        if 0 in part.shape:
            phases.append(jnp.zeros((x.shape[0], *rounds, x.shape[-1]), x.dtype))
            continue
        one = replace(geometry, kernel=part.shape[:-1], padding=padding, spread=(1,) * rank)
        phases.append(_by_places(one, x, part))
    batch, channels = x.shape[0], x.shape[-1]
    whole = jnp.stack(phases).reshape(*spread, batch, *rounds, channels)
    order = [rank, *(axis for i in range(rank) for axis in (rank + 1 + i, i)), 2 * rank + 1]
    whole = whole.transpose(order).reshape(
        batch, *(count * step for count, step in zip(rounds, spread, strict=True)), channels
    )
    return whole[(slice(None), *(slice(out) for out in geometry.outputs))]


def _padded(x: jax.Array, padding: Sequence[tuple[int, int]]) -> jax.Array:
    if all(pad == (0, 0) for pad in padding):
        return x
    config = [(0, 0, 0), *((*pad, 0) for pad in padding), (0, 0, 0)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), config)
