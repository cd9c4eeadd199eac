"""Flips: which images changed their class, in which order, with which pictures and numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reportgen.compare.compared import compared
from reportgen.core.blocks import Bars, Caption, Gallery, GalleryItem, Matrix, Table
from reportgen.core.measured import Measured, image_digest
from reportgen.core.report import Report, Section
from tests.audits.reports import report
from tests.compare.reading import of_type, section, table
from tests.core.measurements import measured

IMAGES = [np.full((4, 4, 1), value, np.uint8) for value in (10, 20, 30, 40, 50)]
LABELS = [0, 1, 2, 2, 1]
BASE, CANDIDATE = [0, 1, 2, 1, 0], [0, 2, 2, 2, 2]
CLASSES = ("cat", "dog", "eel")


def seen(predicted: list[int], **changes: Any) -> Measured:
    found = measured(images=[1, 2, 3, 4, 5], labels=LABELS, predicted=predicted)
    chances = np.array([[0.5], [0.6], [0.7], [0.8], [0.9]])
    digests = np.stack([image_digest(image) for image in IMAGES])
    return replace(found, **{"digests": digests, "probabilities": chances, **changes})


def gallery(*places: int) -> Section:
    """Images that a report shows, by their places; under another name on purpose."""
    items = tuple(GalleryItem(image=IMAGES[i], title="shown") for i in places)
    return Section(
        method="predictions",
        title="Predictions",
        blocks=(Gallery(items=items, caption=Caption(title="Top")),),
    )


def made(predicted: list[int], *places: int, **changes: Any) -> Report:
    return report(seen(predicted, **changes), gallery(*places), classes=CLASSES)


def test_losses_come_first_each_with_its_picture_and_both_answers() -> None:
    found = compared(made(BASE, 3), made(CANDIDATE, 4, 1, 0))
    blocks = section(found, "changed_predictions").blocks
    assert table(blocks, "Images that changed their class").totals == ("of another class", 3, 0.6)
    listed = next(b for b in of_type(blocks, Table) if b.columns[0] == "image")
    assert listed.rows == (
        ("image-2", "right → wrong", "dog", "dog", 0.6, "eel", 0.6),
        ("image-4", "wrong → right", "eel", "dog", 0.8, "eel", 0.8),
        ("image-5", "wrong → wrong otherwise", "dog", "cat", 0.9, "eel", 0.9),
    )
    (shown,) = of_type(blocks, Gallery)
    assert [item.title for item in shown.items] == ["image-2", "image-4", "image-5"]
    for item, place in zip(shown.items, (1, 3, 4), strict=True):
        np.testing.assert_array_equal(item.image, IMAGES[place])
    assert shown.items[0].subtitle == "right → wrong, is dog"
    assert shown.items[0].bars == (("base: dog", 0.6), ("candidate: eel", 0.6))
    assert found.metrics["images of another class"] == 3
    assert found.metrics["right → wrong"] == 1
    (finding,) = found.findings
    assert finding.message == (
        "3 of 5 images changed their class: 1 right → wrong, 1 wrong → right, 1 wrong → wrong "
        "otherwise. The first: image-2, image-4, image-5."
    )


def test_of_losses_those_come_first_that_the_base_was_most_sure_of() -> None:
    found = compared(made(LABELS), made([1, 1, 1, 2, 0]))
    listed = next(
        b
        for b in of_type(section(found, "changed_predictions").blocks, Table)
        if b.columns[0] == "image"
    )
    assert [row[0] for row in listed.rows] == ["image-5", "image-3", "image-1"]


def test_accuracy_confusion_and_classes() -> None:
    found = compared(made(BASE), made(CANDIDATE))
    blocks = section(found, "changed_predictions").blocks
    assert table(blocks, "Over the 5 labelled").rows == (("accuracy", 0.6, 0.6, 0.0),)
    (matrix,) = of_type(blocks, Matrix)
    np.testing.assert_array_equal(matrix.values, [[1, 0, 1], [0, 0, 2], [0, 0, 1]])
    assert (matrix.row_title, matrix.column_title) == ("base", "candidate")
    (bars,) = of_type(blocks, Bars)
    assert bars.names == ("dog", "eel")  # cat is as it was; the largest loss first
    np.testing.assert_array_equal(bars.series[0].values, [0.5, 0.5])
    np.testing.assert_array_equal(bars.series[1].values, [0.0, 1.0])


def test_without_pictures_flips_are_named() -> None:
    blocks = section(compared(made(BASE), made(CANDIDATE)), "changed_predictions").blocks
    assert of_type(blocks, Gallery) == []
    assert len([b for b in of_type(blocks, Table) if b.columns[0] == "image"]) == 1
    some = section(compared(made(BASE, 1), made(CANDIDATE)), "changed_predictions").blocks
    (shown,) = of_type(some, Gallery)
    assert "1 of 3" in shown.caption.detail
    assert "of the others neither report has a picture" in shown.caption.detail


def test_a_picture_of_the_same_name_but_other_pixels_is_not_shown() -> None:
    other = seen(CANDIDATE, digests=seen(CANDIDATE).digests + 1)
    found = compared(
        report(other, classes=CLASSES), report(replace(other), gallery(1), classes=CLASSES)
    )
    assert "changed_predictions" not in [one.method for one in found.sections]
    flipped = replace(other, predicted=np.array(BASE)[:, None])
    found = compared(
        report(flipped, classes=CLASSES), report(other, gallery(0, 1, 2, 3, 4), classes=CLASSES)
    )
    assert of_type(section(found, "changed_predictions").blocks, Gallery) == []


def test_unlabelled_images_and_networks_without_classes() -> None:
    none = np.full(5, -1)
    found = compared(made(BASE, labels=none), made(CANDIDATE, labels=none))
    blocks = section(found, "changed_predictions").blocks
    assert [row[0] for row in table(blocks, "Images that changed").rows] == ["without a label"]
    assert "right → wrong" not in found.metrics
    empty = {"predicted": np.zeros((5, 0), int), "probabilities": np.zeros((5, 0))}
    found = compared(made(BASE), report(replace(seen(CANDIDATE), **empty), classes=CLASSES))
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert why["predictions"] == "one of the networks has one score, and no classes"
    assert [finding.severity for finding in found.findings] == ["info", "warn"]
    assert found.findings[0].message == "What could be compared is equal, but not all could be."


def test_other_images_cannot_be_compared() -> None:
    other = measured(images=[7, 8], labels=[0, 1], predicted=[0, 1])
    found = compared(made(BASE), report(other, classes=CLASSES))
    why = dict(table(section(found, "not_compared").blocks).rows)
    assert why["predictions"] == "no image has the same pixels in both"
