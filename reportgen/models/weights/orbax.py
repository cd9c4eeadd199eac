"""Orbax checkpoint folders: a network's state, variables or a whole training state.

Of a training state only what may be weights is read; of a CheckpointManager's folder the last step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor, flatten, reading
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
    steps = _steps(path)
    kind = f"{KIND}, step {_number(steps[-1])}" if steps else KIND
    folder = _item(steps[-1] if steps else path)
    with reading(folder, KIND):
        tree, aside = _outline(folder)
        # Read at the first question for a value, and then all at once, which is how Orbax reads.
        values = cache(partial(_values, folder, tuple(tree)))
        tensors = {
            name: Tensor(tuple(leaf.shape), str(leaf.dtype), partial(_one, values, name))
            for name, leaf in flatten(tree)
            if isinstance(getattr(leaf, "shape", None), tuple)
        }
    return Checkpoint(kind + (f", without {', '.join(aside)}" if aside else ""), tensors)


def _one(values: Any, name: str) -> np.ndarray:
    return np.asarray(values()[name])


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


def _outline(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What the folder holds, without values, and which parts of it are training's."""
    import orbax.checkpoint as ocp  # type: ignore[import-untyped]

    with ocp.PyTreeCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(folder.resolve())
    tree = getattr(metadata, "item_metadata", metadata)
    tree = getattr(tree, "tree", tree)
    if not isinstance(tree, Mapping):
        raise ValueError(f"a {type(tree).__name__} stands where a mapping of names should")
    keep = wrapped(tree)
    aside = sorted(name for name in tree if keep and name not in keep)
    return {name: value for name, value in tree.items() if name not in aside}, aside


def _values(folder: Path, keep: tuple[str, ...]) -> dict[str, np.ndarray]:
    import jax
    import orbax.checkpoint as ocp

    with reading(folder, KIND), ocp.PyTreeCheckpointer() as checkpointer:
        tree, _ = _outline(folder)
        wanted = {name: tree[name] for name in keep}
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
        arguments = ocp.args.PyTreeRestore(item=wanted, restore_args=as_numpy, partial_restore=True)
        return dict(flatten(checkpointer.restore(folder.resolve(), args=arguments)))
