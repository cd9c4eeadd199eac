"""Labels as a source writes them, to indices of the network's classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from reportgen.core.errors import DataError, did_you_mean
from reportgen.data.listing import Entry


def match(labels: Iterable[str], classes: Sequence[str]) -> dict[str, int]:
    """The classes that labels name; a label that names none is left out.

    A label is a class's name. Where some are not, and all labels are whole numbers that count
    classes, they are indices.

    Raises:
      DataError: for a name that two classes share.
    """
    distinct = list(dict.fromkeys(labels))
    positions = {name: index for index, name in enumerate(classes)}
    if all(label.isdecimal() and int(label) < len(classes) for label in distinct) and not all(
        label in positions for label in distinct
    ):
        return {label: int(label) for label in distinct}
    found = {label: positions[label] for label in distinct if label in positions}
    shared = [name for name, times in Counter(classes).items() if times > 1 and name in found]
    if shared:
        places = [str(index) for index, name in enumerate(classes) if name == shared[0]]
        raise DataError(
            f"The label {shared[0]!r} is the name of {len(places)} classes: {', '.join(places)}.",
            "Use these numbers as labels in place of names, or tell the names in model.classes "
            "apart.",
        )
    return found


def refuse_unknown(entries: Sequence[Entry], known: dict[str, int], classes: Sequence[str]) -> None:
    """Raise DataError if an entry's label is none of the known ones.

    The message names the nearest class. Where the network's classes are bare numbers and labels
    are words, which word is which output cannot be known, and is not guessed.
    """
    unknown: dict[str, Entry] = {}
    for entry in entries:
        if entry.label is not None and entry.label not in known:
            unknown.setdefault(entry.label, entry)
    if not unknown:
        return
    label, entry = next(iter(unknown.items()))
    if len(classes) == 1:
        raise single_score(classes[0])
    numbers = list(classes) == [str(index) for index in range(len(classes))]
    _refuse_mixed(entries, () if numbers else classes)
    if numbers and not label.isdecimal():
        raise DataError(
            f"{entry.origin} {label!r} is a word, and the network's {len(classes)} classes are "
            "numbers: which of its outputs it means is not known.",
            _naming(sorted({str(e.label) for e in entries}), len(classes)),
        )
    others = f" ({len(unknown) - 1} more labels are not either.)" if len(unknown) > 1 else ""
    hint = f"They are counted from 0 to {len(classes) - 1}." if numbers else ""
    raise DataError(
        f"{entry.origin} {label!r} is none of the network's {len(classes)} classes.{others}",
        hint or did_you_mean(label, classes),
    )


def single_score(name: str) -> DataError:
    """The error for labels where the network has but one score (``score=norm``)."""
    return DataError(
        f"The network has one score, {name!r}, and labels of images do not apply to it.",
        "Leave them out: data.labels=null.",
    )


def _refuse_mixed(entries: Sequence[Entry], names: Sequence[str]) -> None:
    """Raise DataError if some labels are numbers of classes, and others are words."""
    words = [e for e in entries if e.label is not None and not e.label.isdecimal()]
    numbers = [
        e for e in entries if e.label is not None and e.label.isdecimal() and e.label not in names
    ]
    if words and numbers:
        raise DataError(
            f"{words[0].origin} {words[0].label!r} is a name; {numbers[0].origin} "
            f"{numbers[0].label!r} is a number.",
            "Labels are all names of classes, or all numbers that count them from 0.",
        )


def _naming(words: list[str], outputs: int) -> str:
    without = "; data.labels=null goes on without labels."
    if len(words) != outputs or outputs > 20:
        return (
            "Name the classes in the order of the outputs: model.classes=[…], or "
            f"model.classes=FILE with a name a line{without}"
        )
    return (
        "Name the classes in the order of the outputs; if it was trained on them in alphabetical "
        f"order: 'model.classes=[{','.join(words)}]'{without}"
    )
