"""Which images of a source are used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reportgen.config import DataConfig
from reportgen.core.errors import ConfigError, DataError, did_you_mean
from reportgen.data.labels import match, refuse_unknown
from reportgen.data.listing import Entry

Chosen = list[tuple[Entry, int | None]]
_NAMED = 5  # classes in a note


def choose(
    entries: Sequence[Entry], config: DataConfig, classes: Sequence[str], seed: int
) -> Chosen:
    """The entries that are asked for, each with its class index; None if any has no label.

    ``data.files`` in the order given; else in the source's order, restricted to ``data.classes``,
    then a sample of ``data.count``, balanced or not, drawn by the seed.

    Raises:
      ConfigError: for settings that contradict each other.
      DataError: for files that are not there, labels that fit no class, or an empty selection.
    """
    _refuse_contradictions(config)
    if config.files:
        entries = _named(entries, config.files)
    if not all(entry.label is not None for entry in entries):
        if wanting := [key for key in ("classes", "balanced") if getattr(config, key)]:
            raise ConfigError(
                f"data.{wanting[0]} needs labels, and the images have none.",
                "Give class sub-folders, or a source with labels (data=csv, data=npz).",
            )
        return [(entries[i], None) for i in sample(len(entries), config.count, seed)]
    known = match((entry.label for entry in entries if entry.label is not None), classes)
    if config.classes:
        entries = _of_classes(entries, known, config.classes, classes)
    refuse_unknown(entries, known, classes)
    labels = np.array([known[str(entry.label)] for entry in entries])
    draw = balanced(labels, config.count, seed) if config.balanced else None
    if draw is None:
        draw = sample(len(entries), config.count, seed)
    return [(entries[i], int(labels[i])) for i in draw]


def shortfalls(chosen: Chosen, config: DataConfig, classes: Sequence[str]) -> tuple[str, ...]:
    """Notes on classes that have fewer images than a balanced draw of ``data.count`` gives each."""
    labels = [label for _, label in chosen if label is not None]
    if not config.balanced or config.count is None or not labels:
        return ()
    present, sizes = np.unique(labels, return_counts=True)
    asked = config.count // len(present)
    few = [
        f"class {classes[k]} has {n} of {asked}"
        for k, n in zip(present, sizes, strict=True)
        if n < asked
    ]
    if not few:
        return ()
    more = f", and {len(few) - _NAMED} more classes" if len(few) > _NAMED else ""
    return (f"The images are not as balanced as asked for: {', '.join(few[:_NAMED])}{more}.",)


def sample(total: int, count: int | None, seed: int) -> np.ndarray:
    """Indices (up to ``count``) of a sample without replacement, in increasing order."""
    if count is None or count >= total:
        return np.arange(total)
    return np.sort(np.random.default_rng(seed).permutation(total)[:count])


def balanced(labels: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Indices, in increasing order, of as many images of each class as can be.

    Without a count each class has as many as the smallest one. With one, the classes get one image
    each in turns; which ones get one in the last turn is drawn, and a class that has no more
    leaves its turns to the others.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    present, sizes = np.unique(labels, return_counts=True)
    order_of_classes = dict(zip(present.tolist(), rng.permutation(len(present)), strict=True))
    turns: dict[int, int] = dict.fromkeys(present.tolist(), 0)
    keys = []
    for index in shuffled:
        label = int(labels[index])
        keys.append((turns[label], order_of_classes[label], index))
        turns[label] += 1
    total = int(sizes.min()) * len(present) if count is None else count
    return np.sort([index for _, _, index in sorted(keys)[:total]])


def _refuse_contradictions(config: DataConfig) -> None:
    if config.files:
        for key in ("count", "balanced", "classes"):
            if getattr(config, key):
                raise ConfigError(
                    f"data.files names the images, and data.{key} would choose among them.",
                    "Take one of the two away.",
                )
        repeated = [name for name in config.files if config.files.count(name) > 1]
        if repeated:
            raise ConfigError(f"data.files has {repeated[0]} more than once.")


def _named(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    by_name = {entry.name: entry for entry in entries}
    if missing := [name for name in names if name not in by_name]:
        raise DataError(
            f"data.files has {missing[0]!r}, which is none of the {len(entries)} images."
            + (f" ({len(missing) - 1} more are not either.)" if len(missing) > 1 else ""),
            did_you_mean(missing[0], by_name),
        )
    return [by_name[name] for name in names]


def _of_classes(
    entries: Sequence[Entry], known: dict[str, int], wanted: Sequence[str], classes: Sequence[str]
) -> list[Entry]:
    indices = set()
    for name in wanted:
        found = match([name], classes)
        if name not in found:
            raise ConfigError(
                f"data.classes has {name!r}, which is none of the network's {len(classes)} "
                "classes.",
                did_you_mean(name, classes),
            )
        indices.add(found[name])
    kept = [e for e in entries if e.label is not None and known.get(e.label) in indices]
    if not kept:
        raise DataError(
            f"None of the {len(entries)} images is of the classes in data.classes: "
            f"{', '.join(wanted)}."
        )
    return kept
