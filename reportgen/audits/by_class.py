"""What the checks of each class's accuracy share: which classes are judged, and what to do."""

from __future__ import annotations

import numpy as np

from reportgen.core.errors import NotApplicableError

ADVICE = (
    "Look at the confusion matrix: two classes taken for each other may have their names or "
    "outputs swapped."
)


def judged_classes(labels: np.ndarray, images: int, which: str = "") -> list[int]:
    """Classes with enough images to be judged, in order.

    Args:
      labels: classes of the images, (N,).
      images: that a class needs.
      which: images are counted, in words behind "images", where that is not all of them.

    Raises:
      NotApplicableError: if no class has so many.
    """
    classes, counts = np.unique(labels, return_counts=True)
    enough = classes[counts >= images]
    if not enough.size:
        raise NotApplicableError(
            f"No class has {images} images{which}; the largest has {counts.max()}."
        )
    return [int(index) for index in enough]
