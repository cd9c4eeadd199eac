"""Caricatures: what a layer saw in an image, drawn so that it sees the same, and more of it.

Olah et al.'s feature inversion with a cosine: ``lucid/recipes/caricature.py``. Its objective adds a
term that sharpens the picture step by step, which was meant to blur it; here there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from reportgen.core.blocks import Block, Gallery, GalleryItem, Group, Table
from reportgen.core.settings import Count, NotNegative, Texts, settings
from reportgen.methods.base import Context, Result, fold_in_name
from reportgen.methods.synthesis import presets, procedure
from reportgen.methods.synthesis.objectives import Objective, cosines
from reportgen.methods.synthesis.plan import Form
from reportgen.methods.synthesis.settings import Ascent
from reportgen.methods.synthesis.transforms import resize
from reportgen.models.base import LayerInfo, Model


@settings
class Caricature(Ascent):
    """Settings of the method; ``conf/method/caricature.yaml`` says what each does."""

    title: ClassVar[str] = "Caricatures"
    needs_images: ClassVar[bool] = True
    unit: ClassVar[tuple[str, str]] = ("caricature", "caricatures")
    others: ClassVar[Mapping[str, Mapping[str, Any]]] = {"lucid": presets.CARICATURE}

    layers: Texts | None
    preset: Literal["keras_vis", "tf_keras_vis", "lucid", "maco"]
    count: Count
    power: NotNegative

    def rejects(self, layer: LayerInfo) -> str:
        if math.prod(layer.shape) < 2:
            return f"{layer.path} ({layer.kind}) has one value, which is like any other"
        return ""

    def work(self, context: Context) -> int:
        self.needed(context)
        return len(context.layers) * min(self.count, context.images.listed)

    def run(self, context: Context) -> Result:
        found = context.images.first(self.count)
        images = np.asarray(context.images.pixels[:found])
        size = self.sides(context.model, square=False)
        shaped = np.asarray(resize(jnp.asarray(images), size)).clip(0, 255)
        groups = [self._layer(context, layer, shaped) for layer in context.layers]
        intro = (
            "What each layer saw in an image: a picture whose activation there points the same way "
            "as the image's, and is stronger. What the layer ignores is missing from it."
        )
        return Result(blocks=(*groups, self.procedure(context)), intro=intro)

    def _layer(self, context: Context, layer: LayerInfo, images: np.ndarray) -> Group:
        model, names = context.model, context.images.names
        objective = Objective(kind="likeness", path=layer.path, power=self.power)
        plan = self.plan(context, objective, images.shape[1:3])
        made = procedure.synthesise(
            context.engine,
            self.network(context),
            plan,
            range(len(images)),
            name="caricature",
            key=fold_in_name(context.key, layer.path),
            batch=self.batch,
            advance=context.advance,
            images=images,
        )
        items: list[GalleryItem] = []
        rows = []
        for i, image in enumerate(images):
            items.append(GalleryItem(image=image, title=names[i], subtitle="image"))
            for picture in made.pictures[i]:
                same, times = (
                    float(value) for value in _alike(model, picture, image, form=plan.form)
                )
                subtitle = f"caricature, cosine {same:.3f}"
                items.append(GalleryItem(image=picture, title=names[i], subtitle=subtitle))
                rows.append((names[i], same, times))
        climbed = f"a · b × max(0.1, cosine)^{self.power:g}" if self.power else "a · b"
        blocks: tuple[Block, ...] = (
            Gallery(
                items=tuple(items),
                caption=context.caption(
                    f"{layer.path} · caricatures",
                    f"method.caricature.layers=[{layer.path}]",
                    detail=f"each image and what {layer.path} saw in it; "
                    f"{images.shape[1]}×{images.shape[2]} pixels",
                    formula=self.formula(
                        f"{climbed}, a and b the layer's activation for the picture and the image"
                    ),
                ),
            ),
            Table(
                columns=("image", "cosine", "strength"),
                rows=tuple(rows),
                caption="Cosine between the layer's activation for the caricature and for the "
                "image; strength: how many times the image's it is, in the image's direction.",
            ),
        )
        subtitle = "output " + "×".join(str(side) for side in layer.shape)
        return Group(title=layer.path, layer=layer.path, subtitle=subtitle, blocks=blocks)


@partial(jax.jit, static_argnames="form")
def _alike(
    model: Model, picture: jax.Array, image: jax.Array, *, form: Form
) -> tuple[jax.Array, jax.Array]:
    """Cosine of the activations a and b for two pictures (H, W, C), and a · b / b · b."""
    both = form.unchanged(jnp.stack([picture, image]))
    a, b = model.activation(form.objective.path, model.spec.normalise(both))
    return cosines(a[None], b[None])[0], (a * b).sum() / ((b * b).sum() + 1e-12)
