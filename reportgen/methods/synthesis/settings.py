"""The settings that all methods of synthesis share, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from reportgen.core.blocks import KeyValues
from reportgen.core.errors import NotApplicableError
from reportgen.core.settings import (
    Count,
    Indices,
    NotNegative,
    Positive,
    Real,
    Reals,
    Whole,
    settings,
)
from reportgen.methods.base import Context, Method
from reportgen.methods.synthesis.objectives import Objective
from reportgen.methods.synthesis.pictures import check_drawable
from reportgen.methods.synthesis.plan import Plan, plan
from reportgen.methods.synthesis.precision import in_bfloat16
from reportgen.methods.synthesis.presets import ASCENTS, KINDS, in_words, resolve, word
from reportgen.models.base import Model

_LARGEST = 3  # sides of the network's input: a preset's picture is no larger
_SPECTRA = 500  # images whose magnitudes are averaged: more change nothing to be seen


@settings
class Ascent(Method):
    """Settings of an ascent; ``conf/method/shared/ascent.yaml`` says what each does."""

    needs_images: ClassVar[bool] = False
    others: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # presets besides the general ones

    preset: str
    size: Count | None
    steps: Count | None
    step_size: Positive | None
    decay: Annotated[NotNegative | None, Field(lt=1)]
    start: Real | None
    noise: NotNegative | None
    tv_weight: NotNegative | None
    lp_weight: NotNegative | None
    lp: Annotated[Positive | None, Field(ge=1)]
    pad: Whole | None
    jitter: Annotated[Indices | None, Field(min_length=1, max_length=2)]
    zoom: Annotated[Reals | None, Field(min_length=1)]
    rotate: Annotated[Reals | None, Field(min_length=1)]
    crops: Count | None
    box: Annotated[Reals | None, Field(min_length=2, max_length=2)]
    shake: NotNegative | None
    redirect: Whole | None
    images: Count
    diversity: NotNegative
    batch: Count | None

    def __post_init__(self) -> None:
        self.check(self.values)

    def check(self, values: Mapping[str, Any]) -> None:
        """Refuse values that do not go together (ValueError)."""
        if self.preset not in KINDS and self.images > 1:
            raise ValueError(f"the preset {self.preset} makes one image of a unit; set images=1")
        if any(factor <= 0 for factor in values.get("zoom", ())):
            raise ValueError("zoom must hold factors above 0")
        if not all(0 < side <= 1 for side in values.get("box", ())):
            raise ValueError("box must hold sides above 0 and at most 1")

    @property
    def values(self) -> dict[str, Any]:
        """The preset's values under those given."""
        presets = {**ASCENTS, **self.others}
        keys = {key for values in presets.values() for key in values}
        given = {key: getattr(self, key) for key in sorted(keys) if hasattr(self, key)}
        return resolve(self.preset, presets[self.preset], given)

    def procedure(self, context: Context) -> KeyValues:
        """What the preset comes to, for the report; the pictures' size stands in their captions."""
        numbers = (("network", "in bfloat16"),) if context.engine.bfloat16 else ()
        several = ("images", "diversity") if self.images > 1 else ()
        pairs = {**self.values, **{name: getattr(self, name) for name in several}}
        return KeyValues(
            title="Procedure",
            pairs=(
                ("preset", self.preset),
                *((key, word(value)) for key, value in pairs.items() if key != "size"),
                *numbers,
            ),
        )

    def formula(self, climbed: str) -> str:
        """What is climbed and how, for the caption of pictures of the general ascent."""
        several = f", less {self.diversity:g} × score × cosine of Gram matrices" * (self.images > 1)
        resolved = self.values
        unused = {"size"} if resolved["lp_weight"] else {"size", "lp"}
        values = {key: value for key, value in resolved.items() if key not in unused}
        return (
            f"{self.preset}: ascent of {climbed}{several}; {KINDS[self.preset].source}; "
            f"{in_words(values)}"
        )

    def network(self, context: Context) -> Model:
        """The network that is climbed, in the numbers that the engine is set to."""
        return in_bfloat16(context.model) if context.engine.bfloat16 else context.model

    def needed(self, context: Context) -> None:
        """Refuse what cannot be drawn, or has no images where they are needed."""
        check_drawable(context.model.spec.channels)
        if self.preset == "maco" and not context.images.listed:
            raise NotApplicableError(
                "The preset maco takes its magnitudes from images, and data=none gives none.",
                "Take preset=lucid, which needs none.",
            )

    def sides(self, model: Model, *, square: bool) -> tuple[int, int]:
        """(H, W) of the pictures, in the input's proportions unless they are to be square."""
        spec = model.spec
        longer = max(spec.height, spec.width)
        size = self.size or min(self.values["size"] or longer, _LARGEST * longer)
        if square:
            return size, size
        height, width = (max(2, round(size * side / longer)) for side in spec.shape[:2])
        return height, width

    def plan(self, context: Context, objective: Objective, size: tuple[int, int]) -> Plan:
        """The general ascent of these settings."""
        images = context.images
        count = images.first(_SPECTRA) if self.preset == "maco" else 0
        return plan(
            context.model,
            KINDS[self.preset],
            objective,
            self.values,
            size,
            images=self.images,
            diversity=self.diversity,
            spectrum=(images.pixels[i] for i in range(count)),
        )
