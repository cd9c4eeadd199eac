"""What both networks predict of the images that both saw: accuracy, flips, classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from reportgen.compare.images import shown_images
from reportgen.compare.part import CHECK, FLIPPED, LOST, Gap, Part, Tally
from reportgen.core.blocks import (
    Bars,
    BarSeries,
    Block,
    Caption,
    Cell,
    Finding,
    Gallery,
    GalleryItem,
    Matrix,
    Table,
)
from reportgen.core.drift import Answered, Change, Flip, answered, flips, shared_images
from reportgen.core.measured import Measured
from reportgen.core.report import Report
from reportgen.render.numbers import counted

_PICTURES = 24
_ROWS = 100
_NAMED = 5  # images in a finding
_MATRIX_CLASSES = 60  # a larger matrix has no legible cell
_BAR_CLASSES = 40

_WORDS: dict[Change, str] = {
    "right to wrong": "right → wrong",
    "wrong to right": "wrong → right",
    "wrong to wrong": "wrong → wrong otherwise",
    "unlabelled": "without a label",
}
# What a reader asks first.
_ORDER = tuple(_WORDS)


def predictions(base: Report, candidate: Report) -> Part:
    """The answers of both networks, flips first."""
    one, other = base.measured, candidate.measured
    if one is None or other is None:
        return Part()
    if reason := _apart(one, other):
        return Part(gaps=(Gap(what="predictions", why=reason, grave=True),))
    places = shared_images(one, other)
    hits = answered(one, other)
    classes = base.model.classes, candidate.model.classes
    found = sorted(flips(one, other, *classes), key=lambda flip: _rank(flip, one))
    counts = Counter(flip.change for flip in found)
    blocks: list[Block] = []
    if found:
        blocks += _totals(hits, counts, len(places))
        blocks += _flipped(found, base, candidate, one, other)
    if len(hits.right) and classes[0] == classes[1]:
        blocks += _by_class(hits, classes[1])
    gaps = _some_images(one, other, len(places))
    return Part(
        blocks=tuple(blocks),
        intro=f"What both networks make of the {counted(len(places), 'image')} that both saw.",
        metrics={
            FLIPPED: float(len(found)),
            **({LOST: float(counts["right to wrong"])} if len(hits.right) else {}),
        },
        findings=_finding(found, counts, len(places)),
        told=_told(counts, len(places)),
        tallies=(
            Tally(
                what="predicted classes of images",
                changed=len(found),
                equal=len(places) - len(found),
            ),
        ),
        gaps=gaps,
    )


def _rank(flip: Flip, base: Measured) -> tuple[int, float]:
    """Of a flip: losses first, of these what the base was most sure of."""
    chance = _top(base, flip.base)
    return _ORDER.index(flip.change), -1.0 if chance is None or chance != chance else -chance


def _apart(base: Measured, candidate: Measured) -> str:
    """Why no prediction can be compared; empty if some can."""
    if not (base.names and candidate.names):
        return "one of the reports saw no images"
    if not (base.predicted.shape[1] and candidate.predicted.shape[1]):
        return "one of the networks has one score, and no classes"
    if not len(shared_images(base, candidate)):
        return "no image has the same pixels in both"
    return ""


def _some_images(base: Measured, candidate: Measured, shared: int) -> tuple[Gap, ...]:
    if len(base.names) == len(candidate.names) == shared:
        return ()
    return (
        Gap(
            what="images",
            why=f"{shared} are in both; the base has {len(base.names)}, the candidate "
            f"{len(candidate.names)}: metrics and answers of layers are of each report’s own",
            grave=True,
        ),
    )


def _totals(hits: Answered, counts: Counter[Change], images: int) -> tuple[Block, ...]:
    before, after = hits.accuracy
    rows: list[tuple[Cell, ...]] = []
    if len(hits.right):
        rows.append(("accuracy", before, after, after - before))
    flipped: list[tuple[Cell, ...]] = [
        (_WORDS[change], counts[change], counts[change] / images)
        for change in _ORDER
        if counts[change]
    ]
    return (
        *(
            [
                Table(
                    columns=("metric", "base", "candidate", "change"),
                    rows=tuple(rows),
                    caption=f"Over the {counted(len(hits.right), 'labelled image')} of both",
                )
            ]
            if rows
            else []
        ),
        Table(
            columns=("was → is", "images", "share"),
            rows=tuple(flipped),
            totals=("of another class", sum(counts.values()), sum(counts.values()) / images),
            caption=f"Images that changed their class, of {images:,}",
        ),
    )


def _top(measured: Measured, place: int) -> float | None:
    """The probability of the predicted class."""
    if not measured.probabilities.shape[1]:
        return None
    return float(measured.probabilities[place, 0])


def _flipped(
    found: Sequence[Flip], base: Report, candidate: Report, one: Measured, other: Measured
) -> list[Block]:
    """The images that flipped, those first whose pictures there are, and a table of all."""
    names = base.model.classes, candidate.model.classes
    pictures = shown_images(candidate, base)
    items: list[GalleryItem] = []
    rows: list[tuple[Cell, ...]] = []
    for flip in found:
        label = int(other.labels[flip.candidate])
        truth = names[1][label] if label >= 0 else None
        before, after = names[0][flip.before], names[1][flip.after]
        chances = _top(one, flip.base), _top(other, flip.candidate)
        rows.append((flip.name, _WORDS[flip.change], truth, before, chances[0], after, chances[1]))
        image = pictures.get(other.digests[flip.candidate].tobytes())
        if image is not None and len(items) < _PICTURES:
            true = "" if truth is None else f", is {truth}"
            items.append(
                GalleryItem(
                    image=image,
                    title=flip.name,
                    subtitle=f"{_WORDS[flip.change]}{true}",
                    bars=tuple(
                        (f"{side}: {name}", chance)
                        for side, name, chance in zip(
                            ("base", "candidate"), (before, after), chances, strict=True
                        )
                        if chance is not None
                    ),
                )
            )
    blocks: list[Block] = []
    if items:
        blocks.append(
            Gallery(
                items=tuple(items),
                caption=Caption(
                    title="Images that changed their class",
                    detail=f"{len(items)} of {len(found)}, those that were right and now are wrong "
                    "first, by how sure the base was"
                    + "; of the others neither report has a picture"
                    * (len(items) < len(found)),
                    formula="each network's class, with the softmax of its logits",
                ),
            )
        )
    left = f"; the first {_ROWS} of {len(rows):,}" if len(rows) > _ROWS else ""
    columns = ("image", "was → is", "true class", "base", "base, probability", "candidate")
    blocks.append(
        Table(
            columns=(*columns, "candidate, probability"),
            rows=tuple(rows[:_ROWS]),
            caption=f"Images that changed their class{left}",
        )
    )
    if names[0] == names[1] and len(names[0]) <= _MATRIX_CLASSES:
        blocks.append(_matrix(one, other, names[0]))
    return blocks


def _matrix(base: Measured, candidate: Measured, classes: tuple[str, ...]) -> Matrix:
    places = shared_images(base, candidate)
    values = np.zeros((len(classes), len(classes)), np.int64)
    predicted = base.predicted[places[:, 0], 0], candidate.predicted[places[:, 1], 0]
    np.add.at(values, predicted, 1)
    return Matrix(
        values=values,
        row_labels=classes,
        column_labels=classes,
        row_title="base",
        column_title="candidate",
        colormap="Blues",
        caption=Caption(
            title="Classes of the base and of the candidate",
            detail=f"counts over {counted(len(places), 'image')}; beside the diagonal are those "
            "that changed their class",
        ),
    )


def _by_class(hits: Answered, classes: tuple[str, ...]) -> list[Block]:
    """Each class's accuracy before and after, of the classes where it changed."""
    labels = hits.labels[:, 1]
    known = np.unique(labels)
    shares = np.array([hits.right[labels == label].mean(axis=0) for label in known])
    change = shares[:, 1] - shares[:, 0]
    changed = np.flatnonzero(change)
    order = changed[np.argsort(change[changed], kind="stable")][:_BAR_CLASSES]
    if not len(order):
        return []
    left = "" if len(order) == len(changed) else f"the {len(order)} worst of "
    return [
        Bars(
            names=tuple(classes[known[place]] for place in order),
            series=tuple(
                BarSeries(name=name, values=shares[order, side])
                for side, name in enumerate(("base", "candidate"))
            ),
            x_label="accuracy on images of the class",
            x_range=(0.0, 1.0),
            caption=Caption(
                title="Classes with another accuracy",
                detail=f"{left}{len(changed)} of {counted(len(known), 'class', 'classes')}, the "
                "largest loss first",
            ),
        )
    ]


def _told(counts: Counter[Change], images: int) -> str:
    if not counts:
        return ""
    told = ", ".join(f"{counts[change]} {_WORDS[change]}" for change in _ORDER if counts[change])
    return f"{sum(counts.values())} of {counted(images, 'image')} changed their class: {told}."


def _finding(found: Sequence[Flip], counts: Counter[Change], images: int) -> tuple[Finding, ...]:
    if not found:
        return ()
    names = ", ".join(flip.name for flip in found[:_NAMED]) + ", …" * (len(found) > _NAMED)
    return (
        Finding(
            severity="info",
            check=CHECK,
            message=f"{_told(counts, images)} The first: {names}.",
            value=float(len(found)),
            advice="Look at them under Changed predictions.",
        ),
    )
