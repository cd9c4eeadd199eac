"""What the network answers: top classes image by image, accuracy, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from reportgen.core.blocks import (
    Bars,
    BarSeries,
    Block,
    Cell,
    Finding,
    Gallery,
    GalleryItem,
    KeyValues,
    Matrix,
    Table,
)
from reportgen.core.errors import NotApplicableError
from reportgen.core.settings import Count, settings
from reportgen.methods.base import Context, Method, Result
from reportgen.methods.targets import softmax

MATRIX_CLASSES = 60  # a larger confusion matrix has no legible cell
BAR_CLASSES = 40  # more bars do not fit on a page


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): row the true class, column the predicted one."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def top_k_accuracy(labels: np.ndarray, logits: np.ndarray, k: int) -> float:
    """Share of images whose true class is among the ``k`` highest logits (0..1)."""
    best = np.argsort(-logits, axis=-1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


@settings
class Predictions(Method):
    """Settings of the method.

    Attributes:
      show: images shown, wrong ones first.
      top: classes shown for each.
    """

    title: ClassVar[str] = "Predictions"
    unit: ClassVar[tuple[str, str]] = ("image", "images")

    show: Count
    top: Count

    def work(self, context: Context) -> int:
        if len(context.model.classes) == 1:
            kind = context.model.head.score.kind
            raise NotApplicableError(
                f"predictions needs several classes, and score={kind} has one score here."
            )
        return context.images.listed

    def run(self, context: Context) -> Result:
        model, images = context.model, context.images
        logits = context.survey.seen.logits
        context.advance(images.listed)
        blocks: list[Block] = []
        metrics: dict[str, float] = {}
        findings: list[Finding] = []
        predicted = logits.argmax(axis=-1)
        if images.labels is not None:
            metrics["accuracy"] = top_k_accuracy(images.labels, logits, 1)
            if len(model.classes) > 10:
                metrics["top-5 accuracy"] = top_k_accuracy(images.labels, logits, 5)
            blocks += self._measured(context, images.labels, predicted, metrics)
        bad = int((~np.isfinite(logits)).any(axis=-1).sum())
        if bad:
            findings.append(
                Finding(
                    severity="fail",
                    check="predictions",
                    message=f"{bad} of {len(images)} images give logits that are not finite.",
                    where="logits",
                    value=float(bad),
                    advice="Look for NaN or overflow in the activations, layer by layer.",
                )
            )
        blocks.append(self._gallery(context, logits, predicted))
        return Result(
            blocks=tuple(blocks),
            intro="The network's answers to the images, as softmax probabilities of its logits.",
            metrics=metrics,
            findings=tuple(findings),
        )

    def _measured(
        self,
        context: Context,
        labels: np.ndarray,
        predicted: np.ndarray,
        metrics: dict[str, float],
    ) -> list[Block]:
        classes = context.model.classes
        matrix = confusion_matrix(labels, predicted, len(classes))
        rows: list[tuple[Cell, ...]] = []
        for index in np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1)):
            true, found = int(matrix[index].sum()), int(matrix[:, index].sum())
            hits = int(matrix[index, index])
            recall = hits / true if true else None
            precision = hits / found if found else None
            rows.append((classes[index], true, found, hits, recall, precision))
        blocks: list[Block] = [
            KeyValues(pairs=(*metrics.items(), ("images", len(labels))), title="Accuracy"),
        ]
        if len(classes) <= MATRIX_CLASSES:
            blocks.append(
                Matrix(
                    values=matrix,
                    row_labels=classes,
                    column_labels=classes,
                    row_title="true class",
                    column_title="predicted class",
                    colormap=context.colormap.matrix,
                    caption=context.caption(
                        "Confusion matrix", detail=f"counts over {len(labels)} labelled images"
                    ),
                )
            )
        blocks += _bars(context, rows)
        blocks.append(
            Table(
                columns=("class", "images", "predicted", "correct", "recall", "precision"),
                rows=tuple(rows),
                caption="By class; recall is the accuracy on images of the class.",
            )
        )
        return blocks

    def _gallery(self, context: Context, logits: np.ndarray, predicted: np.ndarray) -> Gallery:
        images, classes = context.images, context.model.classes
        order = list(range(len(images)))
        if images.labels is not None:
            wrong = predicted != images.labels
            order.sort(key=lambda i: not wrong[i])
        probabilities = softmax(logits)
        items = []
        for i in order[: self.show]:
            best = np.argsort(-probabilities[i], kind="stable")[: self.top]
            truth = None if images.labels is None else int(images.labels[i])
            items.append(
                GalleryItem(
                    image=images.pixels[i],
                    title=images.names[i],
                    subtitle="" if truth is None else f"true class: {classes[truth]}",
                    bars=tuple((classes[c], float(probabilities[i, c])) for c in best),
                    mark="none"
                    if truth is None
                    else ("correct" if truth == predicted[i] else "wrong"),
                )
            )
        shown = f"{len(items)} of {len(images)} images"
        return Gallery(
            items=tuple(items),
            caption=context.caption(
                f"Top {min(self.top, len(classes))} classes",
                detail=shown + ("" if images.labels is None else ", wrong ones first"),
                formula="softmax of the logits",
            ),
        )


def _bars(context: Context, rows: Sequence[tuple[Cell, ...]]) -> tuple[Bars, Bars]:
    """Each class's accuracy and counts, the worst first.

    Args:
      rows: class, images, predicted, correct, recall, precision.
    """
    measured = [row for row in rows if row[1]]
    worst = sorted(measured, key=lambda row: float(row[4] or 0))[:BAR_CLASSES]
    names = tuple(str(row[0]) for row in worst)
    left_out = len(measured) - len(worst)
    which = f"the {len(worst)} worst of {len(measured)} classes" if left_out else "the worst first"

    def series(name: str, place: int) -> BarSeries:
        return BarSeries(name=name, values=np.array([float(row[place] or 0) for row in worst]))

    return (
        Bars(
            names=names,
            series=(series("accuracy", 4),),
            x_label="accuracy on images of the class",
            x_range=(0.0, 1.0),
            caption=context.caption("Accuracy by class", detail=which),
        ),
        Bars(
            names=names,
            series=(series("true", 1), series("predicted", 2)),
            x_label="images",
            caption=context.caption("Images by class", detail=f"in the same order, {which}"),
        ),
    )
