"""Giving every parameter of a network its tensor, or saying which do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.errors import WeightsError, nearest
from reportgen.models.weights import names
from reportgen.models.weights.checkpoint import Checkpoint
from reportgen.models.weights.layouts import arrange, arranged_shape, channels_first

_SHOWN = 12


@dataclass(frozen=True)
class Naming:
    """What a network says of other frameworks' files; all empty for a user's own network.

    Attributes:
      published: scheme to {module, or parameter outside of one: the source's name}. A name that
        ends in ``_`` is joined to the variable's without a dot.
      flattened: dense layer to the (height, width, channels) of the map it gets flattened.
      transposed: modules that are transposed convolutions, to their numbers of channels out.
      ignored: globs of published names that the network does not have.
    """

    published: Mapping[str, Mapping[str, str]]
    flattened: Mapping[str, tuple[int, int, int]]
    ignored: tuple[str, ...]
    transposed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Fit:
    """Parameters by dotted name, the scheme of names that was found, and what did not fit."""

    parameters: dict[str, jax.Array]
    scheme: str
    problems: tuple[str, ...]


@dataclass
class _Problems:
    """What does not fit, by sort; the names are the network's unless said otherwise."""

    shapes: dict[str, str]
    types: dict[str, str]
    values: dict[str, str]
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.count() > 0

    def count(self) -> int:
        return sum(map(len, (self.shapes, self.types, self.values, self.missing, self.unused)))


def fit(
    checkpoint: Checkpoint,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    path: Path,
    naming: Naming,
    *,
    strict: bool,
    finite: bool,
) -> Fit:
    """The parameters of a network from a file's tensors, in the network's own layouts and types.

    One tensor is converted at a time, so that a file of any size costs little more than the
    parameters themselves.

    Args:
      shapes: what the network has, by dotted name.
      path: of the file, for messages.
      strict: every parameter must find its tensor, and every tensor its parameter.
      finite: NaN and infinite values do not fit.

    Raises:
      WeightsError: listing mis-shaped, non-finite, missing and left-over tensors by name; without
        ``strict`` only if nothing fits, or all would though it is of another version.
    """
    found = names.match(
        tuple(shapes),
        checkpoint.tensors,
        naming.published,
        naming.ignored,
        numbered=checkpoint.numbered,
    )
    if naming.published and found.sought:
        _check_version(path, checkpoint, shapes, naming)
    if 3 * len(found.sources) < len(shapes) and (strict or not found.sources):
        raise _another(path, checkpoint, shapes, found)
    problems = _Problems({}, {}, {}, tuple(found.sought), found.unused)
    parameters = {}
    for name, source in found.sources.items():
        tensor, wanted = checkpoint.tensors[source], shapes[name]
        first = channels_first(name, source)
        label = name if source == name else f"{name} ({source})"
        module = name.rpartition(".")[0]
        # With transpose_kernel Flax's kernel has PyTorch's order of channels, and is not turned.
        turned = naming.transposed.get(module) == wanted.shape[-1] if wanted.shape else False
        shape = arranged_shape(tensor.shape, wanted.shape, first=first, turned=turned)
        if shape != wanted.shape:
            problems.shapes[name] = f"{label} is {shape}, the network has {wanted.shape}"
            continue
        if not _numeric(tensor.dtype, wanted.dtype):
            problems.types[name] = f"type: {label} is {tensor.dtype}, not {wanted.dtype}"
            continue
        flat = naming.flattened.get(module)
        values = arrange(tensor.read(), wanted.shape, first=first, turned=turned, flattened=flat)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is told
            values = values.astype(wanted.dtype, copy=False)
        if finite and (bad := _not_finite(values)):
            problems.values[name] = (
                f"not finite: {label} has {bad:,} NaN or infinite of {values.size:,}"
            )
            continue
        # Always a copy: what was read may be a view of a file that changes later.
        parameters[name] = jnp.array(values)
    if problems and (strict or not parameters):
        raise _refused(path, checkpoint, shapes, found, problems)
    lines = tuple(_lines(problems, checkpoint, shapes, found, problems.count()))
    return Fit(parameters, found.scheme, lines)


def _numeric(dtype: str, wanted: np.dtype) -> bool:
    """Whole numbers are no weights of a layer of real numbers: quantised files hold them."""
    real = dtype.lower().startswith(("f", "bf"))
    return real or not jnp.issubdtype(wanted, jnp.floating)


def _not_finite(values: np.ndarray) -> int:
    """Number of NaN and infinite values."""
    if not values.size or not jnp.issubdtype(values.dtype, jnp.inexact):
        return 0
    # The extremes of an array tell, and need no second array of its size.
    with np.errstate(invalid="ignore"):
        if np.isfinite(values.min()) and np.isfinite(values.max()):
            return 0
    return int(values.size - np.isfinite(values).sum())


def _lines(
    problems: _Problems,
    checkpoint: Checkpoint,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    found: names.Match,
    limit: int,
) -> list[str]:
    """One line a problem, the most telling sort first."""
    lines = [f"shape: {text}" for text in problems.shapes.values()]
    lines += [*problems.types.values(), *problems.values.values()]
    for name in problems.missing[: max(0, limit - len(lines))]:
        sought = found.sought[name]
        line = f"missing: {name} {shapes[name].shape}"
        line += f", {sought} in the file" if sought and sought != name else ""
        close = nearest(sought or name, problems.unused, 1)
        lines.append(line + "".join(f" ({c}?)" for c in close))
    unused = problems.unused[: max(0, limit - len(lines))]
    lines += [f"left over: {name} {checkpoint.tensors[name].shape}" for name in unused]
    return lines[:limit]


def _refused(
    path: Path,
    checkpoint: Checkpoint,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    found: names.Match,
    problems: _Problems,
) -> WeightsError:
    lines = _lines(problems, checkpoint, shapes, found, _SHOWN)
    more = problems.count() - len(lines)
    shown = "\n".join(f"  {line}" for line in lines)
    shown += f"\n  … and {more} more" if more else ""
    return WeightsError(
        f"{path} does not fit the network ({len(checkpoint.tensors)} tensors in the file, "
        f"{len(shapes)} in the network):\n{shown}",
        _hint(problems, checkpoint, shapes, found),
    )


def _another(
    path: Path,
    checkpoint: Checkpoint,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    found: names.Match,
) -> WeightsError:
    def some(all_names: tuple[str, ...]) -> str:
        return ", ".join(all_names[:3]) + (", …" if len(all_names) > 3 else "")

    return WeightsError(
        f"{path} holds the weights of another network: of {len(shapes)} names that the network "
        f"has, {len(found.sources)} are among the file's {len(checkpoint.tensors)}. The file has "
        f"{some(found.unused) or 'no tensors'}; the network has {some(tuple(found.sought))}.",
        checkpoint.advice or "Check that model= names the network that was trained.",
    )


def _check_version(
    path: Path,
    checkpoint: Checkpoint,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    naming: Naming,
) -> None:
    """Refuse a publisher's file that has all of the network's names and is not among its own.

    Two versions of a residual network differ in where they stride, in no name and in no shape.
    """
    alike = names.match(
        tuple(shapes), checkpoint.tensors, {}, naming.ignored, numbered=checkpoint.numbered
    )
    if not alike.sought:
        raise WeightsError(
            f"{path} names its layers as this network does, but is of another version of it, which "
            f"computes otherwise. This one takes files of: {', '.join(sorted(naming.published))}.",
            "Choose the model= of the version that was trained.",
        )


def _hint(
    problems: _Problems,
    checkpoint: Checkpoint,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    found: names.Match,
) -> str:
    if problems.types:
        return (
            "Whole numbers are weights of a quantised network: turn them back into floats (times "
            "their scales) and save the file again."
        )
    if problems.values and not (problems.shapes or problems.missing or problems.unused):
        return (
            "Training did not end well: take an earlier checkpoint. weights.finite=false loads it "
            "as it is, for an audit."
        )
    if problems.shapes and not (problems.missing or problems.unused):
        classes = _classes(problems, checkpoint, shapes, found)
        if classes:
            return f"The file's last layer has {classes} outputs: +model.kwargs.classes={classes}."
    others = problems.shapes or problems.values or problems.unused
    if problems.missing and not others and all(map(names.is_statistic, problems.missing)):
        return (
            "The file was saved without batch statistics: save 'batch_stats' (nnx.BatchStat) too. "
            "weights.strict=false loads the rest, with those that an untrained network has."
        )
    modules = {name.rpartition(".")[0] for name in problems.missing}
    whole = all(name not in found.sources for name in shapes if name.rpartition(".")[0] in modules)
    if modules and whole and len(modules) <= 3 and not (problems.shapes or problems.unused):
        return (
            f"The file was saved without {', '.join(sorted(modules))} (Keras calls that notop). "
            "weights.strict=false loads the rest."
        )
    return checkpoint.advice or (
        "Check that model= names the network that was trained, and that training ended well."
    )


def _classes(
    problems: _Problems,
    checkpoint: Checkpoint,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    found: names.Match,
) -> int:
    """Outputs of the file's head, if all that differs is the output axis of a single layer."""
    if len({name.rpartition(".")[0] for name in problems.shapes}) != 1:
        return 0
    widths = set()
    for name in problems.shapes:
        source, wanted = found.sources[name], shapes[name].shape
        tensor = checkpoint.tensors[source]
        shape = arranged_shape(tensor.shape, wanted, first=channels_first(name, source))
        if shape[:-1] != wanted[:-1]:
            return 0
        widths.add(shape[-1])
    return widths.pop() if len(widths) == 1 else 0
