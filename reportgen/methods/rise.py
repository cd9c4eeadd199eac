"""RISE: the mean of random masks, weighted by what the network still sees through each.

Petsiuk, Das, Saenko: RISE: Randomized Input Sampling for Explanation (2018), arXiv:1806.07421.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import jax
import jax.numpy as jnp
from pydantic import Field

from reportgen.core.settings import settings
from reportgen.methods.attribution import Attribution, Maps
from reportgen.methods.draws import uniform
from reportgen.methods.resize import resized
from reportgen.models.base import Model

Samples = Annotated[int, Field(ge=2, strict=True)]


def mask(key: jax.Array, size: tuple[int, int], cells: int, share: float) -> jax.Array:
    """One smooth random mask, as the authors draw it.

    A grid of ``cells`` by ``cells`` of zeros and ones is enlarged bilinearly to ``cells + 1`` times
    the size of a cell, and cropped at random.

    Args:
      size: (H, W).
      share: probability of a one.

    Returns:
      (H, W), 0..1; the mean over masks is ``share`` everywhere.
    """
    drawn, shifted = jax.random.split(key)
    cell = [math.ceil(side / cells) for side in size]
    grid = (uniform(drawn, (cells, cells)) < share).astype(jnp.float32)
    height, width = ((cells + 1) * side for side in cell)
    large = resized(grid[None, :, :, None], (height, width), "bilinear")[0, :, :, 0]
    start = jax.random.randint(shifted, (2,), 0, jnp.array(cell))
    return jax.lax.dynamic_slice(large, start, size)


def rise(
    model: Model,
    image: jax.Array,
    target: jax.Array,
    key: jax.Array,
    *,
    masks: int,
    cells: int,
    share: float,
    probability: bool,
    batch: int,
) -> tuple[jax.Array, jax.Array]:
    """Σ f(x ⊙ M) M / (N p), over N random masks M.

    Args:
      image: one input (H, W, C), normalised; what is masked becomes zero there.
      target: class index.
      probability: f is the softmax probability (as published), else the score.
      batch: masks at a time.

    Returns:
      (H, W), in units of f, and the correlation of the maps of the even and the odd masks, which
      tells how far the number of masks suffices.
    """
    size = image.shape[0], image.shape[1]
    count = math.ceil(masks / batch) * batch

    def chunk(sums: jax.Array, numbers: jax.Array) -> tuple[jax.Array, None]:
        drawn = jax.vmap(lambda n: mask(jax.random.fold_in(key, n), size, cells, share))(numbers)
        scores = model.apply(image * drawn[..., None])[0]
        seen = jax.nn.softmax(scores)[:, target] if probability else scores[:, target]
        seen = jnp.where(numbers < masks, seen, 0)
        halves = jnp.stack([jnp.where(numbers % 2 == odd, seen, 0) for odd in (0, 1)])
        return sums + jnp.einsum("kn,nhw->khw", halves, drawn), None

    numbers = jnp.arange(count).reshape(-1, batch)
    sums, _ = jax.lax.scan(chunk, jnp.zeros((2, *size)), numbers)
    agreement = jnp.corrcoef(sums.reshape(2, -1))[0, 1]
    return sums.sum(axis=0) / (masks * share), agreement


@settings
class RISE(Attribution):
    """Settings of the method, besides those of all attribution methods.

    Attributes:
      masks: how many.
      cells: of the grid along each side.
      share: probability that a cell is seen.
      score: ``probability`` of the class, as published, or its ``score``.
    """

    title: ClassVar[str] = "RISE"
    many_runs: ClassVar[bool] = True
    intro: ClassVar[str] = (
        "What the network recognises the class by when it sees the image through random masks: the "
        "mean of the masks, each weighted by the class's probability behind it. No gradient is "
        "used. The agreement of two halves of the masks tells whether there are enough."
    )
    signed: ClassVar[bool] = False

    masks: Samples
    cells: Annotated[int, Field(ge=2, strict=True)]
    share: Annotated[float, Field(gt=0, lt=1)]
    score: Literal["probability", "score"]

    @property
    def formula(self) -> str:
        """What is computed, with its paper."""
        return f"Σ f(x ⊙ M) M / (N p), f the class {self.score} (Petsiuk et al. 2018)"

    @property
    def measure(self) -> str:
        """Of the values."""
        return f"expected class {self.score} where the pixel is seen"

    def details(self, model: Model) -> str:
        return f"{self.masks} masks of {self.cells} × {self.cells} cells, {self.share:g} seen"

    def explain(
        self, model: Model, x: jax.Array, targets: jax.Array, keys: jax.Array, batch: int
    ) -> Maps:
        def one(inputs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            return rise(
                model,
                *inputs,
                masks=self.masks,
                cells=self.cells,
                share=self.share,
                probability=self.score == "probability",
                batch=min(batch, self.masks),
            )

        heat, agreement = jax.lax.map(one, (x, targets, keys))
        return Maps(heat, {"correlation of two halves of the masks": agreement})
