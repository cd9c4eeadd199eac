"""Convolutions in the forms that XLA's CPU backend is fast at, with derivatives in such forms too.

That backend has a fast convolution for channels last and kernels (H, W, I, O), and inside of loops
it does not bring others into that form by itself: there a plain derivative takes several times as
long. Kernels of one position are matrix products, those of 3 × 3 take fewer of them
(``winograd.py``); of depthwise (``depthwise.py``) and grouped ones it has no fast form at all.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from reportgen.rewrite import winograd
from reportgen.rewrite.compat import JaxprEqn
from reportgen.rewrite.depthwise import depthwise
from reportgen.rewrite.geometry import Geometry, Sizes, placed
from reportgen.rewrite.interpreter import shape_of

# A depthwise convolution is one multiplication for each place of the kernel, up to so many.
_MOST_PLACES = 81
# Groups of fewer channels than this are merged, by zeros in the kernel, and more than this many
# groups as well: every group is an operation of its own.
_FEWEST_CHANNELS = 16
_MOST_GROUPS = 16


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


# What is kept for the derivative is the same whatever it is by: of a program that is differentiated
# by the input, by kernels and by the input again, JAX mixes up what each of them kept. The part
# that nothing needs is no work, since XLA leaves it out.
def _forward(
    geometry: Geometry, x: jax.Array, kernel: jax.Array, turned: jax.Array
) -> tuple[jax.Array, Any]:
    return _convolved(geometry, x, kernel, turned), (x, kernel, turned)


def _backward(
    geometry: Geometry, kept: Any, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    x, kernel, turned = kept
    by_x = _convolved(geometry.transposed(), cotangent, turned, kernel)
    return by_x, _by_kernel(geometry, x, kernel, cotangent), None


_convolved.defvjp(_forward, _backward)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _minimal(
    geometry: Geometry, turned: bool, x: jax.Array, kernel: jax.Array, factors: jax.Array
) -> jax.Array:
    """Convolve by the factors of a kernel or, turned, of the one whose derivative this is."""
    return winograd.convolved(
        x, factors, geometry.padding, turned=turned, precision=geometry.precision
    )


def _minimal_forward(
    geometry: Geometry, turned: bool, x: jax.Array, kernel: jax.Array, factors: jax.Array
) -> tuple[jax.Array, Any]:
    return _minimal(geometry, turned, x, kernel, factors), (x, kernel, factors)


def _minimal_backward(
    geometry: Geometry, turned: bool, kept: Any, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, None]:
    x, kernel, factors = kept
    back = kernel[::-1, ::-1].swapaxes(-1, -2)
    by_x = _minimal(geometry.transposed(), not turned, cotangent, back, factors)
    return by_x, _by_kernel(geometry, x, kernel, cotangent), None


_minimal.defvjp(_minimal_forward, _minimal_backward)


def _by_kernel(
    geometry: Geometry, x: jax.Array, kernel: jax.Array, cotangent: jax.Array
) -> jax.Array:
    (back,) = jax.linear_transpose(lambda kernel: _run(geometry, x, kernel), kernel)(cotangent)
    return back


def _run(geometry: Geometry, x: jax.Array, kernel: jax.Array) -> jax.Array:
    if geometry.groups == 1:
        return _dense(geometry, x, kernel)
    inputs, outputs = kernel.shape[-2:]
    if 1 in (inputs, outputs // geometry.groups) and math.prod(geometry.kernel) <= _MOST_PLACES:
        return depthwise(geometry, x, kernel)
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
        x = placed(geometry, x)
    matrix = kernel.reshape(kernel.shape[-2:])
    contracted = (((x.ndim - 1,), (0,)), ((), ()))
    y = jax.lax.dot_general(x, matrix, contracted, precision=geometry.precision)
    return placed(geometry, y) if spread else y


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
