"""Accuracy and the confusion matrix, counted again one image at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from reportgen.core.blocks import Gallery, Matrix, Table
from reportgen.engine.rows import Engine
from reportgen.methods.predictions import confusion_matrix, top_k_accuracy
from reportgen.methods.targets import predict, softmax


def _one(result: Any, kind: type) -> Any:
    (block,) = (b for b in result.blocks if isinstance(b, kind))
    return block


def test_numbers_against_a_loop_over_images(
    run_method: Any, digits: Any, numpy_lenet: Any, lenet: Any
) -> None:
    result = run_method("predictions", "method.predictions.show=9")
    # The NumPy network is slow: a fifth of the images checks the logits, JAX's own the rest.
    logits = predict(Engine.local(7), lenet, digits, 200)
    for i in range(0, 200, 40):
        slow = numpy_lenet(digits.pixels[i].astype(np.float64) / 256)["ip2"]
        np.testing.assert_allclose(logits[i], slow, rtol=1e-3, atol=1e-3)
    matrix = np.zeros((10, 10), int)
    for row, label in zip(logits, digits.labels, strict=True):
        matrix[label, row.argmax()] += 1
    np.testing.assert_array_equal(_one(result, Matrix).values, matrix)
    assert result.metrics == {"accuracy": np.trace(matrix) / 200}
    for row in _one(result, Table).rows:
        c = int(row[0])
        assert row[1:4] == (matrix[c].sum(), matrix[:, c].sum(), matrix[c, c])
        assert row[4] == matrix[c, c] / matrix[c].sum()
    gallery = _one(result, Gallery)
    wrong = int((logits.argmax(axis=1) != digits.labels).sum())
    marks = [item.mark for item in gallery.items]
    assert marks == ["wrong"] * wrong + ["correct"] * (9 - wrong)
    for item in gallery.items:
        i = digits.names.index(item.title)
        best = np.argsort(-softmax(logits[i]))[:5]
        assert [label for label, _ in item.bars] == [str(c) for c in best]
        np.testing.assert_allclose([value for _, value in item.bars], softmax(logits[i])[best])


def test_logits_do_not_depend_on_the_batch(lenet: Any, digits: Any) -> None:
    np.testing.assert_allclose(
        predict(Engine.local(20), lenet, digits, 20),
        predict(Engine.local(3), lenet, digits, 20),
        rtol=1e-5,
        atol=1e-5,
    )


def test_small_cases_by_hand() -> None:
    labels = np.array([0, 0, 1, 2])
    predicted = np.array([0, 1, 1, 0])
    assert confusion_matrix(labels, predicted, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    logits = np.array([[3, 2, 1], [1, 2, 3], [0, 1, 0], [5, 1, 4]])
    assert top_k_accuracy(labels, logits, 1) == 0.5
    assert top_k_accuracy(labels, logits, 2) == 0.75
    assert top_k_accuracy(labels, logits, 3) == 1.0
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0])), [0.5, 0.5])


def test_probabilities_sum_to_one() -> None:
    logits = np.random.default_rng(0).normal(0, 300, (50, 1000)).astype(np.float32)
    logits[0] = 1e30
    found = softmax(logits)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
