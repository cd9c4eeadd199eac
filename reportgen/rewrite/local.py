"""A program that is run anew only where a box of its input changes something.

A square that is covered changes little more than a square of the first layers' maps; everything
around it is what the whole image made of it. As in Krypton (Nakandala, Kumar, Papakonstantinou:
Incremental and Approximate Inference for Faster Occlusion-based Deep CNN Explanations, 2019), the
exact half of it. Where an operation looks at everything, or a box has grown to most of a map, the
program goes on with whole maps. Values are equal but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.rewrite.compat import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, bind
from reportgen.rewrite.inline import inlined
from reportgen.rewrite.interpreter import operations, read, shape_of
from reportgen.rewrite.receptive import ELEMENTWISE, Reach, moved

# Share of a map above which a box of it saves less than cutting it out and putting it back costs.
_MOST = 0.7
# Share of a program's work above which all of it is run: two programs take longer to compile.
_WORTH = 0.75


@dataclass(frozen=True)
class Span:
    """What changes along one axis.

    Attributes:
      first, last: (K,) places that a box's number changes, the last one included.
      side: length of the axis.
    """

    axis: int
    side: int
    first: np.ndarray
    last: np.ndarray

    @property
    def size(self) -> int:
        """Of all boxes: that of the largest one."""
        return int((self.last - self.first).max()) + 1

    @property
    def starts(self) -> np.ndarray:
        """(K,) first places of boxes of that size."""
        return np.clip(self.first, 0, self.side - self.size)

    def after(self, reach: Reach, side: int) -> Span:
        """What changes of a value of which place i looks at ``stride * i + first`` to ``last``."""
        first = -((reach.last - self.first) // reach.stride)
        last = (self.last - reach.first) // reach.stride
        # Of what nobody looks at a place is kept all the same.
        last = np.clip(np.maximum(first, last), 0, side - 1)
        return Span(reach.axis, side, np.clip(first, 0, last), last)

    def joined(self, other: Span) -> Span:
        """What changes by either."""
        first, last = np.minimum(self.first, other.first), np.maximum(self.last, other.last)
        return replace(self, first=first, last=last)


class Box(NamedTuple):
    """What changes of a value, by rows and columns of the image."""

    rows: Span
    columns: Span

    @property
    def share(self) -> float:
        """Of the whole."""
        return self.rows.size * self.columns.size / (self.rows.side * self.columns.side)


@dataclass(frozen=True)
class Local:
    """A program in two parts.

    Attributes:
      whole: from the program's inputs to its output and values that are kept.
      part: from the program's inputs but the last, the values that were kept, a box of the last
        one, and the numbers of the box's rows and columns, to the output with that box in its
        place.
      box: of the last input.
    """

    whole: ClosedJaxpr
    part: ClosedJaxpr
    box: Box


def local(closed: ClosedJaxpr, rows: np.ndarray, columns: np.ndarray) -> Local:
    """A program of one output whose last input is one image (1, H, W, C).

    Args:
      rows, columns: first and last place, exclusive, of what changes in it: (R, 2) and (K, 2); any
        rows go with any columns.
    """
    closed = inlined(closed)
    image = closed.jaxpr.invars[-1]
    height, width = shape_of(image)[1:3]
    box = Box(
        Span(1, height, rows[:, 0], rows[:, 1] - 1),
        Span(2, width, columns[:, 0], columns[:, 1] - 1),
    )
    plan = _Plan(closed, _boxes(closed.jaxpr, box))
    avals = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in closed.jaxpr.invars]
    whole = jax.make_jaxpr(plan.whole)(avals)
    patch = jax.ShapeDtypeStruct(_sized(shape_of(image), box), avals[-1].dtype)
    number = jax.ShapeDtypeStruct((), jnp.int32)
    part = jax.make_jaxpr(plan.part)(avals[:-1], whole.out_avals[1:], patch, number, number)
    return Local(whole, part, box)


_Boxes = dict[Any, "Box | None"]  # of what depends on the image; None if all of it may change


def _boxes(jaxpr: Jaxpr, image: Box) -> _Boxes:
    found: _Boxes = {jaxpr.invars[-1]: image}
    whole = dict(found)
    least, all_of_it = 0.0, 0.0
    for eqn in jaxpr.eqns:
        if _dependent(eqn, found):
            box, cost = _box(eqn, found), operations(eqn)
            found.update(dict.fromkeys(eqn.outvars, box))
            whole.update(dict.fromkeys(eqn.outvars, None))
            all_of_it += cost
            least += cost * (1 if box is None else box.share)
    return found if least <= _WORTH * all_of_it else whole


def _dependent(eqn: JaxprEqn, boxes: _Boxes) -> list[int]:
    """The operands that depend on the image; none where nothing is made of them."""
    if not eqn.outvars:
        return []
    return [i for i, v in enumerate(eqn.invars) if not isinstance(v, Literal) and v in boxes]


def _box(eqn: JaxprEqn, boxes: _Boxes) -> Box | None:
    """What changes of an operation's output."""
    out, spans = shape_of(eqn.outvars[0]), []
    for place in (0, 1):
        joined: Span | None = None
        for i in _dependent(eqn, boxes):
            own = boxes[eqn.invars[i]]
            reach = None if own is None else moved(eqn, i, Reach(own[place].axis, 1, 0, 0))
            if own is None or reach is None:
                return None
            span = own[place].after(reach, out[reach.axis])
            if joined is not None and joined.axis != span.axis:
                return None
            joined = span if joined is None else joined.joined(span)
        assert joined is not None
        spans.append(joined)
    box = Box(*spans)
    return box if box.share <= _MOST else None


@dataclass(frozen=True)
class _Slab:
    """What an operation needs of an operand along one axis, for a box of its output.

    Attributes:
      own: the operand's box.
      starts: (K,) first places; below 0 and behind the side lies the padding.
    """

    own: Span
    starts: np.ndarray
    size: int

    @property
    def exact(self) -> bool:
        """Whether the operand's box is all of it, and nothing else."""
        return self.size == self.own.size and bool((self.starts == self.own.starts).all())

    @property
    def margins(self) -> tuple[int, int]:
        """Places by which any of the operand's boxes stands out of the slab, at its two ends."""
        behind = self.own.starts + self.own.size - self.starts - self.size
        return max(0, int((self.starts - self.own.starts).max())), max(0, int(behind.max()))

    @property
    def around(self) -> tuple[int, int]:
        """Places before and behind the side that slabs with their margins reach into."""
        near, far = self.margins
        return max(0, near - int(self.starts.min())), max(
            0, int(self.starts.max()) + self.size + far - self.own.side
        )


class _Mixed(NamedTuple):
    """An operand that is put together from a box and what is around it.

    Attributes:
      slabs: what of it is needed; None for all.
    """

    operand: int
    own: Box
    slabs: tuple[_Slab, _Slab] | None

    def kept(self, value: jax.Array, fill: Any) -> jax.Array:
        """What has to be kept of the whole value.

        Args:
          fill: what stands beyond its edges.
        """
        if self.slabs is None:
            return value
        config = [(0, 0, 0)] * value.ndim
        for slab in self.slabs:
            config[slab.own.axis] = (*slab.around, 0)
        return jax.lax.pad(value, jnp.asarray(fill, value.dtype), config)

    def composed(self, kept: jax.Array, box: jax.Array, numbers: Sequence[jax.Array]) -> jax.Array:
        """What is needed, for the box of these numbers."""
        if self.slabs is None:
            where = {span.axis: span.starts for span in self.own}
            return jax.lax.dynamic_update_slice(kept, box, _places(kept, where, numbers))
        sizes, inside = list(kept.shape), [slice(None)] * kept.ndim
        for slab in self.slabs:
            near, far = slab.margins
            sizes[slab.own.axis] = slab.size + near + far
            inside[slab.own.axis] = slice(near, near + slab.size)
        begin = {s.own.axis: s.starts - s.margins[0] + s.around[0] for s in self.slabs}
        paste = {s.own.axis: s.own.starts - s.starts + s.margins[0] for s in self.slabs}
        part = jax.lax.dynamic_slice(kept, _places(kept, begin, numbers), sizes)
        return jax.lax.dynamic_update_slice(part, box, _places(kept, paste, numbers))[tuple(inside)]


def _places(value: jax.Array, starts: dict[int, np.ndarray], numbers: Sequence[Any]) -> list[Any]:
    """Where a slice begins along each axis, for rows and columns of these numbers."""
    found = [jnp.int32(0)] * value.ndim
    for (axis, table), number in zip(starts.items(), numbers, strict=True):
        found[axis] = jnp.asarray(table, jnp.int32)[number]
    return found


def _mixed(eqn: JaxprEqn, boxes: _Boxes) -> Iterator[_Mixed]:
    """The operands that an operation does not take as they are."""
    for i in _dependent(eqn, boxes):
        own, out = boxes[eqn.invars[i]], boxes.get(eqn.outvars[0])
        if own is None:
            continue
        if out is None:
            yield _Mixed(i, own, None)
            continue
        rows, columns = (_slab(eqn, i, *spans) for spans in zip(own, out, strict=True))
        if not (rows.exact and columns.exact):
            yield _Mixed(i, own, (rows, columns))


def _slab(eqn: JaxprEqn, i: int, own: Span, out: Span) -> _Slab:
    reach = moved(eqn, i, Reach(own.axis, 1, 0, 0))
    assert reach is not None
    size = reach.stride * (out.size - 1) + reach.last - reach.first + 1
    return _Slab(own, reach.stride * out.starts + reach.first, size)


@dataclass(frozen=True)
class _Plan:
    """How a program is run in two parts."""

    closed: ClosedJaxpr
    boxes: _Boxes

    def whole(self, inputs: Sequence[Any]) -> list[Any]:
        """The output, and what ``part`` asks for, in that order."""
        values, kept = self._values(inputs), []
        for eqn in self.closed.jaxpr.eqns:
            operands = read(values, eqn.invars)
            for mixed in _mixed(eqn, self.boxes):
                kept.append(mixed.kept(operands[mixed.operand], _fill(eqn, operands)))
            values.update(zip(eqn.outvars, bind(eqn, operands), strict=True))
        (output,) = read(values, self.closed.jaxpr.outvars)
        if self._last is not None:
            kept.append(output)
        return [output, *kept]

    def part(self, inputs: Sequence[Any], kept: Sequence[Any], patch: Any, *numbers: Any) -> Any:
        """The output, where the last input has a box in its place."""
        values, around = self._values([*inputs, patch]), iter(kept)
        for eqn in self.closed.jaxpr.eqns:
            operands = read(values, eqn.invars)
            for mixed in _mixed(eqn, self.boxes):
                box = operands[mixed.operand]
                operands[mixed.operand] = mixed.composed(next(around), box, numbers)
            out = self.boxes.get(eqn.outvars[0]) if eqn.outvars else None
            if out is not None:
                operands = list(self._cut(eqn, operands, out, numbers))
                own = self.boxes[eqn.invars[_dependent(eqn, self.boxes)[0]]]
                assert own is not None
                eqn = _resized(eqn, operands, own, out)
            values.update(zip(eqn.outvars, bind(eqn, operands), strict=True))
        (output,) = read(values, self.closed.jaxpr.outvars)
        return output if self._last is None else self._last.composed(next(around), output, numbers)

    @property
    def _last(self) -> _Mixed | None:
        """What is done to the output, where that is still a box."""
        own = self.boxes.get(self.closed.jaxpr.outvars[0])
        return None if own is None else _Mixed(0, own, None)

    def _values(self, inputs: Sequence[Any]) -> dict[Any, Any]:
        jaxpr = self.closed.jaxpr
        return dict(
            zip([*jaxpr.constvars, *jaxpr.invars], [*self.closed.consts, *inputs], strict=True)
        )

    def _cut(
        self, eqn: JaxprEqn, operands: Sequence[Any], out: Box, numbers: Sequence[Any]
    ) -> Iterator[Any]:
        """Operands of an operation on a box: of maps that nothing changes their parts."""
        shape, dependent = shape_of(eqn.outvars[0]), _dependent(eqn, self.boxes)
        aligned = eqn.primitive.name in ELEMENTWISE or eqn.primitive.name == "concatenate"
        for i, operand in enumerate(operands):
            if not aligned or i in dependent or jnp.ndim(operand) < len(shape):
                yield operand
                continue
            for span, number in zip(out, numbers, strict=True):
                # An axis of length one is stretched over the box as it was over the map.
                if operand.shape[span.axis] == span.side:
                    start = jnp.asarray(span.starts, jnp.int32)[number]
                    operand = jax.lax.dynamic_slice_in_dim(operand, start, span.size, span.axis)
            yield operand


def _sized(shape: Sequence[int], box: Box) -> list[int]:
    """The shape of a value's box."""
    sizes = list(shape)
    for span in box:
        sizes[span.axis] = span.size
    return sizes


def _fill(eqn: JaxprEqn, operands: Sequence[Any]) -> Any:
    """What stands beyond the edges of an operation's first operand."""
    name, dtype = eqn.primitive.name, operands[0].dtype
    if name == "pad":
        return operands[1]
    if name != "reduce_window_max":
        return 0
    return -np.inf if jnp.issubdtype(dtype, jnp.floating) else np.iinfo(dtype).min


def _resized(eqn: JaxprEqn, operands: Sequence[Any], own: Box, out: Box) -> JaxprEqn:
    """An operation on a slab, which has its padding in it.

    Args:
      own, out: whose axes are those of the slab and of the output.
    """
    name, params = eqn.primitive.name, dict(eqn.params)
    axes = [span.axis for span in own]
    if name == "conv_general_dilated":
        directions = params["dimension_numbers"].lhs_spec[2:]
        params["padding"] = _put(params["padding"], map(directions.index, axes), (0, 0))
    elif name in ("reduce_window_max", "reduce_window_sum"):
        params["padding"] = _put(params["padding"], axes, (0, 0))
    elif name == "pad":
        params["padding_config"] = _put(params["padding_config"], axes, (0, 0, 0))
    elif name == "slice":
        params["start_indices"] = _put(params["start_indices"], axes, 0)
        ends = params["limit_indices"]
        for axis in axes:
            ends = _put(ends, [axis], operands[0].shape[axis])
        params["limit_indices"] = ends
    elif name in ("broadcast_in_dim", "reshape"):
        key = "shape" if name == "broadcast_in_dim" else "new_sizes"
        params[key] = tuple(_sized(params[key], out))
    return eqn.replace(params=params)


def _put(values: Sequence[Any], places: Iterable[int], value: Any) -> tuple[Any, ...]:
    changed = list(values)
    for place in places:
        changed[place] = value
    return tuple(changed)
