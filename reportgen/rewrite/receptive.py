"""Receptive fields: which part of the image a place of a layer's output can depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from reportgen.rewrite.compat import ClosedJaxpr, JaxprEqn, Literal
from reportgen.rewrite.inline import inlined
from reportgen.rewrite.interpreter import shape_of
from reportgen.rewrite.marks import mark_p


class Reach(NamedTuple):
    """What place i along an axis looks at: pixels ``stride * i + first`` to ``stride * i + last``.

    Attributes:
      axis: of the value, along which i counts.
    """

    axis: int
    stride: int
    first: int
    last: int


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer.

    Attributes:
      rows, columns: None where every place may depend on the whole image.
    """

    rows: Reach | None
    columns: Reach | None

    def box(self, row: int, column: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, bottom, left, right (exclusive) of what a place looks at; may leave the image."""
        top, bottom = _span(self.rows, row, size[0])
        left, right = _span(self.columns, column, size[1])
        return top, bottom, left, right


def _span(reach: Reach | None, place: int, side: int) -> tuple[int, int]:
    if reach is None:
        return 0, side
    return reach.stride * place + reach.first, reach.stride * place + reach.last + 1


# One for rows and one for columns; a value that is missing does not depend on the image.
_Pair = tuple[Reach | None, Reach | None]
_WHOLE: _Pair = (None, None)


def receptive_field(closed: ClosedJaxpr, path: str) -> Field:
    """The receptive field of a layer, from the shapes of the operations on the way to it.

    Args:
      closed: a network's traced program, whose last input is the image (N, H, W, C).
      path: of a layer that is marked in it, and called for the first time.

    Raises:
      KeyError: if no such layer is marked outside of loops and branches.
    """
    jaxpr = inlined(closed).jaxpr
    known: dict[Any, _Pair] = {jaxpr.invars[-1]: (Reach(1, 1, 0, 0), Reach(2, 1, 0, 0))}
    for eqn in jaxpr.eqns:
        inputs = [known[v] for v in eqn.invars if not isinstance(v, Literal) and v in known]
        if not inputs:
            continue
        pair = _after(eqn, known)
        if eqn.primitive is mark_p and eqn.params["path"] + eqn.params["part"] == path:
            return Field(*pair)
        known.update(dict.fromkeys(eqn.outvars, pair))
    raise KeyError(path)


_Step = Callable[[JaxprEqn, Reach], "Reach | None"]


def _after(eqn: JaxprEqn, known: dict[Any, _Pair]) -> _Pair:
    """What the output of an operation looks at."""
    joined: list[Reach | None] = []
    for place in (0, 1):
        reaches = []
        for operand, variable in enumerate(eqn.invars):
            if isinstance(variable, Literal) or variable not in known:
                continue
            reach = known[variable][place]
            reaches.append(None if reach is None else moved(eqn, operand, reach))
        joined.append(_union(reaches))
    return joined[0], joined[1]


def moved(eqn: JaxprEqn, operand: int, reach: Reach) -> Reach | None:
    """What the output of an operation looks at along an axis, by one of its operands.

    Args:
      reach: of the operand; of stride one, from 0 to 0, for what of the operand itself.

    Returns:
      None where a place may depend on all places of the axis.
    """
    name = eqn.primitive.name
    if name in ELEMENTWISE:
        # An axis of length one that is stretched is the same for all places.
        side, out = shape_of(eqn.invars[operand]), shape_of(eqn.outvars[0])
        return reach if len(side) == len(out) and side[reach.axis] == out[reach.axis] else None
    if operand and name != "concatenate":
        return None  # a kernel, or what stands beyond the edges
    return _STEPS.get(name, _lost)(eqn, reach)


def _union(reaches: list[Reach | None]) -> Reach | None:
    if any(reach is None for reach in reaches):
        return None
    known = [reach for reach in reaches if reach is not None]
    if len({(reach.axis, reach.stride) for reach in known}) != 1:
        return None
    first, last = min(r.first for r in known), max(r.last for r in known)
    return known[0]._replace(first=first, last=last)


def _lost(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    return None


def _windowed(reach: Reach, axis: int, size: int, stride: int, before: int, gap: int) -> Reach:
    """After a window of ``size`` values, ``gap`` apart, that moves by ``stride``."""
    start = reach.first - reach.stride * int(before)
    stretch = reach.stride * (size - 1) * gap
    return Reach(axis, reach.stride * stride, start, reach.last - reach.first + start + stretch)


def _convolution(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    params, numbers = eqn.params, eqn.params["dimension_numbers"]
    if reach.axis not in numbers.lhs_spec[2:]:
        return None
    i = numbers.lhs_spec[2:].index(reach.axis)
    if params["lhs_dilation"][i] != 1:
        return None
    size = shape_of(eqn.invars[1])[numbers.rhs_spec[2 + i]]
    axis = numbers.out_spec[2 + i]
    before = params["padding"][i][0]
    return _windowed(
        reach, axis, size, params["window_strides"][i], before, params["rhs_dilation"][i]
    )


def _window(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    params, axis = eqn.params, reach.axis
    if params.get("base_dilation", (1,) * (axis + 1))[axis] != 1:
        return None
    return _windowed(
        reach,
        axis,
        params["window_dimensions"][axis],
        params["window_strides"][axis],
        params["padding"][axis][0],
        params.get("window_dilation", (1,) * (axis + 1))[axis],
    )


def _slice(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    strides = eqn.params["strides"]
    stride = 1 if strides is None else strides[reach.axis]
    return _windowed(reach, reach.axis, 1, stride, -eqn.params["start_indices"][reach.axis], 1)


def _pad(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    before, _, inside = eqn.params["padding_config"][reach.axis]
    return None if inside else _windowed(reach, reach.axis, 1, 1, before, 1)


def _transpose(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    return reach._replace(axis=list(eqn.params["permutation"]).index(reach.axis))


def _concatenate(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    return None if eqn.params["dimension"] == reach.axis else reach


def _broadcast(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    axis = eqn.params["broadcast_dimensions"][reach.axis]
    same = shape_of(eqn.invars[0])[reach.axis] == eqn.params["shape"][axis]
    return reach._replace(axis=axis) if same else None


def _reduce(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    axes = eqn.params["axes"]
    if reach.axis in axes:
        return None
    return reach._replace(axis=reach.axis - sum(axis < reach.axis for axis in axes))


def _product(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    """A dense layer at each place: the image on the left, and its axis not summed over."""
    (contracting, _), (batched, _) = eqn.params["dimension_numbers"]
    if batched or reach.axis in contracting or reach.axis >= len(shape_of(eqn.invars[0])):
        return None
    return reach._replace(axis=reach.axis - sum(axis < reach.axis for axis in contracting))


def _reshape(eqn: JaxprEqn, reach: Reach) -> Reach | None:
    """An axis that has the same values before it and after it stays what it is."""
    old, new = shape_of(eqn.invars[0]), shape_of(eqn.outvars[0])
    before = _size(old[: reach.axis])
    for axis, side in enumerate(new):
        if side == old[reach.axis] and _size(new[:axis]) == before and side > 1:
            return reach._replace(axis=axis)
    return None


def _size(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product


ELEMENTWISE = frozenset(
    {"add", "add_any", "sub", "mul", "div", "max", "min", "neg", "abs", "exp", "exp2", "expm1"}
    | {"log", "log1p", "tanh", "logistic", "erf", "erfc", "sqrt", "rsqrt", "square", "pow", "sign"}
    | {"integer_pow", "select_n", "clamp", "convert_element_type", "copy", "layer", "gt", "ge"}
    | {"lt", "le", "eq", "ne", "and", "or", "not", "stop_gradient", "reduce_precision"}
)
_STEPS: dict[str, _Step] = {
    "conv_general_dilated": _convolution,
    "reduce_window_max": _window,
    "reduce_window_sum": _window,
    "slice": _slice,
    "pad": _pad,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "broadcast_in_dim": _broadcast,
    "reduce_sum": _reduce,
    "reduce_max": _reduce,
    "dot_general": _product,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
}
