"""Which class of each image a method explains, and what the network made of the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import numpy as np
from pydantic import BeforeValidator

from reportgen.core.blocks import Cell
from reportgen.core.errors import ConfigError, did_you_mean
from reportgen.core.images import ImageBatch
from reportgen.engine.rows import Engine, Source
from reportgen.models.base import Model


def _as_name(value: object) -> str:
    """YAML reads the word ``true`` as a switch."""
    return str(value).lower() if isinstance(value, bool) else str(value)


Target = Annotated[str, BeforeValidator(_as_name)]


@dataclass(frozen=True)
class Scores:
    """Scores (N, classes) of inputs (N, H, W, C), normalised."""

    name: str = "scores"

    def __call__(self, batch: int, model: Model, x: jax.Array) -> jax.Array:
        return model.apply(x)[0]


def normalised(model: Model, images: ImageBatch) -> Source:
    """The images as the network takes them; waits for none behind those asked for."""
    return lambda start, stop: (model.spec.normalise(images.pixels[start:stop]),)


def predict(
    engine: Engine,
    model: Model,
    images: ImageBatch,
    count: int,
    advance: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Logits of the first ``count`` images, or of as many as there are.

    Returns:
      (count or fewer, classes).
    """
    chunks = engine.map(Scores(), model, normalised(model, images), count, advance)
    return np.concatenate([chunk.made for chunk in chunks])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in float64; NaN where a logit is not finite."""
    with np.errstate(invalid="ignore"):
        shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Chosen:
    """The explained class of each image, with what the network says of it.

    Attributes:
      index: (N,) class indices.
      logits: (N, classes).
    """

    model: Model
    images: ImageBatch
    index: np.ndarray
    logits: np.ndarray

    def facts(self, i: int) -> tuple[tuple[str, Cell], ...]:
        """Explained, predicted and true class of one image, with logit and probability."""
        classes, index = self.model.classes, int(self.index[i])
        predicted = int(self.logits[i].argmax())
        facts: list[tuple[str, Cell]] = [
            ("explained class", classes[index]),
            ("its logit", float(self.logits[i, index])),
        ]
        if len(classes) > 1:  # of a single score both say nothing
            facts += [
                ("its probability", float(softmax(self.logits[i])[index])),
                ("predicted class", classes[predicted]),
            ]
        if self.images.labels is not None:
            facts.append(("true class", classes[self.images.labels[i]]))
        return tuple(facts)


def chosen_classes(
    engine: Engine, model: Model, images: ImageBatch, target: str, count: int
) -> Chosen:
    """The class to explain for each of the first ``count`` images.

    Args:
      target: ``predicted``, ``true``, a class's name or its index.

    Raises:
      ConfigError: if labels are asked for and there are none, or there is no such class.
    """
    logits = predict(engine, model, images, count)
    if target == "predicted":
        index = logits.argmax(axis=-1)
    elif target == "true":
        if images.labels is None:
            raise ConfigError(
                "target=true needs labels, and the images have none.", "Use target=predicted."
            )
        index = images.labels[:count]
    else:
        index = np.full(count, class_index(model.classes, target))
    return Chosen(model, images, index.astype(np.int32), logits)


def check_target(model: Model, target: str) -> None:
    """Refuse a class that there is not, before anything is computed.

    Raises:
      ConfigError: naming the nearest ones.
    """
    if target not in ("predicted", "true"):
        class_index(model.classes, target)


def class_index(classes: tuple[str, ...], name: str) -> int:
    """Index of a class by its name or number (a name wins).

    Raises:
      ConfigError: if there is no such class.
    """
    if name in classes:
        return classes.index(name)
    if name.isdigit() and int(name) < len(classes):
        return int(name)
    raise ConfigError(
        f"There is no class {name!r} among {len(classes)}.",
        did_you_mean(name, ["predicted", "true", *classes]),
    )
