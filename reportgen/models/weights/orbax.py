"""Orbax checkpoint folders: a network's state, variables or a whole training state.

Of a training state only what may be weights is read, one array at a time; of a CheckpointManager's
folder the last step.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor, reading
from reportgen.models.weights.names import wrapped

KIND = "Orbax"


def is_checkpoint(path: Path) -> bool:
    """True for a folder that Orbax wrote, or a CheckpointManager's with such folders by step."""
    return _holds_arrays(path) or (path / "_CHECKPOINT_METADATA").exists() or bool(_steps(path))


def read(path: Path) -> Checkpoint:
    """The arrays by dotted name.

    Raises:
      WeightsError: if the folder is damaged, or holds several items with weights.
    """
    _hush()
    steps = _steps(path)
    kind = f"{KIND}, step {_number(steps[-1])}" if steps else KIND
    folder = _item(steps[-1] if steps else path)
    with reading(folder, KIND):
        leaves, structure = jax.tree_util.tree_flatten_with_path(_outline(folder))
    tops = [_name(keys[:1]) for keys, _ in leaves]
    keep = wrapped(tops)
    tensors = {}
    for place, (keys, leaf) in enumerate(leaves):
        if isinstance(getattr(leaf, "shape", None), tuple) and (not keep or tops[place] in keep):
            read_one = partial(_values, folder, structure, [leaf for _, leaf in leaves], place)
            tensors[_name(keys)] = Tensor(leaf.shape, str(leaf.dtype), read_one)
    aside = sorted({top for top in tops if keep and top not in keep})
    return Checkpoint(kind + (f", without {', '.join(aside)}" if aside else ""), tensors)


@lru_cache(maxsize=1)
def _hush() -> None:
    """Leave out of the process's error output what threads of a reading that failed still say.

    Orbax reads arrays side by side and closes its event loop at the first that is damaged; those
    that end later find it closed, each with a traceback that nobody can catch.
    """
    before = sys.unraisablehook

    def hook(said: sys.UnraisableHookArgs) -> None:
        closed = isinstance(said.exc_value, RuntimeError) and said.object is None
        if not (closed and str(said.exc_value) == "Event loop is closed"):
            before(said)

    sys.unraisablehook = hook


def _name(keys: Sequence[Any]) -> str:
    return ".".join(str(key.key if hasattr(key, "key") else key.idx) for key in keys)


def _steps(path: Path) -> list[Path]:
    """A manager's folders of steps (``10``, ``step_10``), the last one last."""
    if _holds_arrays(path):
        return []
    return sorted((p for p in path.iterdir() if _is_step(p)), key=_number)


def _is_step(path: Path) -> bool:
    if not path.is_dir() or not re.fullmatch(r"([A-Za-z]+_)?\d+", path.name):
        return False
    return _holds_arrays(path) or any(_holds_arrays(item) for item in path.iterdir())


def _number(path: Path) -> int:
    return int(path.name.rpartition("_")[2])


def _holds_arrays(path: Path) -> bool:
    return any((path / mark).exists() for mark in ("_METADATA", "manifest.ocdbt", "checkpoint"))


def _item(path: Path) -> Path:
    """The folder of arrays: the step's own, or that of its one item that holds arrays."""
    if _holds_arrays(path):
        return path
    items = sorted(item for item in path.iterdir() if _holds_arrays(item))
    for name in ("default", "params", "state", "model"):
        if path / name in items:
            return path / name
    if len(items) != 1:
        named = f" ({', '.join(item.name for item in items)})" if items else ""
        raise WeightsError(
            f"{path} holds {len(items)} Orbax items with arrays{named}.",
            "Give the path of the item that holds the weights.",
        )
    return items[0]


def _outline(folder: Path) -> Any:
    """The tree that the folder holds, with shapes and types in place of arrays."""
    import orbax.checkpoint as ocp  # type: ignore[import-untyped]

    with ocp.PyTreeCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(folder.resolve())
    tree = getattr(metadata, "item_metadata", metadata)
    if tree is None:
        raise ValueError("its metadata cannot be read")
    return getattr(tree, "tree", tree)


def _values(folder: Path, structure: Any, leaves: Sequence[Any], place: int) -> np.ndarray:
    """One array, so that no more than one is in memory beside the parameters."""
    import orbax.checkpoint as ocp

    others = [leaf if at == place else ocp.PLACEHOLDER for at, leaf in enumerate(leaves)]
    as_numpy = [ocp.RestoreArgs(restore_type=np.ndarray)] * len(leaves)
    arguments = ocp.args.PyTreeRestore(
        item=structure.unflatten(others), restore_args=structure.unflatten(as_numpy)
    )
    with reading(folder, KIND), ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.restore(folder.resolve(), args=arguments)
        return np.asarray(jax.tree.leaves(tree)[place])
