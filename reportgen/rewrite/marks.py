"""A mark in the traced program: this value is the output of that layer.

Layers are marked by a primitive of our own instead of being collected while Python runs, so a mark
is found wherever JAX takes it: into ``jit``, ``remat`` and the bodies of ``scan``, where a value
that is held in a Python variable would be a leaked tracer.
"""

from __future__ import annotations

from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

SCOPE = "layer:"  # of the named scope that holds all of a layer's operations, before its path

mark_p = Primitive("layer")
mark_p.def_impl(lambda value, **_: value)
mark_p.def_abstract_eval(lambda value, **_: value)
mlir.register_lowering(mark_p, lambda context, value, **_: [value])
ad.deflinear2(mark_p, lambda cotangent, value, **_: [cotangent])
batching.defvectorized(mark_p)


def mark(output: Any, path: str, kind: str) -> Any:
    """A layer's output, marked; its value is unchanged.

    Args:
      output: an array, or a pytree; of several arrays each is marked, as ``path[key]``.
      path: the layer's dotted path.
      kind: ``conv``, ``dense``, …
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(output)
    arrays = [i for i, (_, leaf) in enumerate(leaves) if isinstance(leaf, jax.Array)]
    marked = [leaf for _, leaf in leaves]
    for i in arrays:
        part = jax.tree_util.keystr(leaves[i][0]) if len(arrays) > 1 else ""
        marked[i] = mark_p.bind(marked[i], path=path, part=part, kind=kind, last=i == arrays[-1])
    return jax.tree_util.tree_unflatten(tree, marked)
