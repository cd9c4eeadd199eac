"""Filter synthesis: for each filter of a layer, a picture that makes it respond strongly.

Erhan, Bengio, Courville, Vincent: Visualizing Higher-Layer Features of a Deep Network (2009). The
pictures are made by ``synthesis/units.py``.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from reportgen.core.blocks import Block, Finding, Group, Montage, Table, Text
from reportgen.core.errors import ConfigError
from reportgen.core.messages import listed
from reportgen.core.settings import Count, Indices, Texts, settings
from reportgen.methods.base import Context, Result
from reportgen.methods.synthesis.ascent import EPSILON
from reportgen.methods.synthesis.pictures import tiles
from reportgen.methods.synthesis.units import Made, UnitAscent
from reportgen.methods.weights import select_indices
from reportgen.models.base import LayerInfo

_GAP = 5  # the script's margin, between pictures only


@settings
class Filters(UnitAscent):
    """Settings of the method; ``conf/method/filters.yaml`` says what each does."""

    title: ClassVar[str] = "Synthesised filters"
    unit: ClassVar[tuple[str, str]] = ("filter", "filters")

    layers: Texts | None
    units: Annotated[Indices | None, Field(min_length=1)]
    keep: Count | None

    def rejects(self, layer: LayerInfo) -> str:
        if reason := self.unable(layer):
            return reason
        if self.layers is None and layer.kind not in ("conv", "conv_transpose"):
            return (
                f"{layer.path} ({layer.kind}) is no convolution "
                f"(method.filters.layers={layer.path} takes it anyway)"
            )
        return ""

    def work(self, context: Context) -> int:
        self.needed(context)
        for layer in context.layers:
            if self.direction is not None and len(self.direction) != layer.shape[-1]:
                raise ConfigError(
                    f"method.filters.direction has {len(self.direction)} values; {layer.path} has "
                    f"{layer.shape[-1]} channels.",
                    "Choose one layer with method.filters.layers, and a value for each channel.",
                )
            height, width = layer.shape[:2] if layer.spatial else (1, 1)
            if self.position is not None and not np.less(self.position, (height, width)).all():
                raise ConfigError(
                    f"method.filters.position {list(self.position)} is outside of {layer.path}, "
                    f"whose maps are {height}×{width}.",
                )
        return sum(len(self._units(layer)) for layer in context.layers)

    def _units(self, layer: LayerInfo) -> list[int]:
        if self.direction is not None:
            return [0]
        wanted = select_indices(layer.shape[-1], self.units, "filters", layer.path)
        return [int(unit) for unit in wanted]

    def run(self, context: Context) -> Result:
        blocks: list[Block] = []
        findings: list[Finding] = []
        for layer in context.layers:
            group, found = self._layer(context, layer)
            blocks.append(group)
            findings += found
        intro = (
            "For each filter a picture that makes it respond strongly, found by gradient ascent "
            "from grey or from noise, the filters with the highest response first."
        )
        if self.preset in ("keras_seed", "keras_vis"):
            intro += (
                " Contrast is standardised picture by picture; compare shapes, not brightness. A "
                "filter that answers to plain brightness gives an even picture with a border."
            )
        return Result(
            blocks=(*blocks, self.procedure(context)), intro=intro, findings=tuple(findings)
        )

    def _layer(self, context: Context, layer: LayerInfo) -> tuple[Group, list[Finding]]:
        units = self._units(layer)
        subtitle = "output " + "×".join(str(side) for side in layer.shape)
        wanted = None if self.keep is None else math.isqrt(self.keep) ** 2
        made = self.made(context, layer, units, wanted)
        if isinstance(made, str):
            alone = Text(text=made)
            group = Group(title=layer.path, layer=layer.path, subtitle=subtitle, blocks=(alone,))
            return group, []
        # By score, the highest first; a stable sort keeps equal ones in the layer's order.
        scores = np.argsort(-made.score, kind="stable")
        order = [i for i in scores if made.alive[i] and not made.left_after[i]]
        behind = sorted(
            (i for i in scores if made.left_after[i]), key=lambda i: -made.left_after[i]
        )
        dead = [i for i in range(len(units)) if not made.alive[i]]
        shown = order[: self.keep]
        if self.images == 1:
            shown = shown[: math.isqrt(len(shown)) ** 2]
        blocks: list[Block] = []
        findings: list[Finding] = []
        if shown:
            blocks.append(self._montage(context, layer, made, units, shown))
        if made.left_out:
            text = f"Left out, since the layer has no map at them: pictures of {made.left_out} "
            blocks.append(Text(text=f"{text}pixels.", tone="note"))
        if dead:
            findings.append(self._dead(layer, [units[i] for i in dead], made.score[dead], units))
            blocks.append(Text(text=f"{findings[0].message} Not drawn.", tone="warning"))
        blocks.append(self._table(layer, made, units, (order, behind, dead), len(shown)))
        group = Group(title=layer.path, layer=layer.path, subtitle=subtitle, blocks=tuple(blocks))
        return group, findings

    def _montage(
        self,
        context: Context,
        layer: LayerInfo,
        made: Made,
        units: list[int],
        shown: list[int],
    ) -> Montage:
        pictures = made.pictures[shown]
        drawn, colormap = tiles(pictures.reshape(-1, *pictures.shape[2:]))
        alive = int(made.alive.sum())
        height, width = pictures.shape[2:4]
        what = self.score_name
        if self.direction is not None:
            detail = f"one direction of {layer.shape[-1]} channels"
            labels = ["direction"]
        else:
            detail = (
                f"the {len(shown)} of the highest {what}, best first, of {alive} with a response; "
                f"{len(units)} of {layer.shape[-1]} filters computed"
            )
            labels = [f"unit {units[i]}" for i in shown]
        if self.images > 1:
            detail += f"; {self.images} pictures of each, in a row"
        detail += f"; pictures of {height}×{width} pixels"
        if self.preset == "keras_seed":
            detail += ", each standardised to mean 0.5 and deviation 0.25"
        return Montage(
            tiles=drawn,
            low=0.0,
            high=made.high,
            columns=self.images if self.images > 1 else math.isqrt(len(shown)),
            colormap=colormap,
            gap=_GAP,
            background="black",
            labels=tuple(
                f"{label}, {what} {made.score[i]:.4g}"
                for label, i in zip(labels, shown, strict=True)
                for _ in range(self.images)
            ),
            caption=context.caption(
                f"{layer.path} · synthesised filters",
                f"method.filters.layers=[{layer.path}]",
                detail=detail,
                formula=made.formula,
            ),
        )

    def _dead(
        self, layer: LayerInfo, dead: list[int], losses: np.ndarray, units: list[int]
    ) -> Finding:
        lost = int((~np.isfinite(losses)).sum())
        seeded = self.preset == "keras_seed"
        cause = f"loss ≤ {EPSILON:g}" if seeded else "no gradient at any step"
        cause += f"; {lost} not finite" if lost else ""
        other = "another seed or a larger method.filters.size."
        if "start" in self.values:
            other = "another method.filters.start (0.0 is black) or method.filters.noise."
        return Finding(
            severity="warn",
            check="filters",
            message=f"{len(dead)} of {len(units)} filters of {layer.path} are dead: nothing made "
            f"them respond ({cause}): {listed(dead)}.",
            where=layer.path,
            value=float(len(dead)),
            advice="Prune what none of your images activates either, or train again with a lower "
            "learning rate. What only answers to other pictures than those it started from may "
            f"respond from {other}",
        )

    def _table(
        self,
        layer: LayerInfo,
        made: Made,
        units: list[int],
        groups: tuple[list[int], list[int], list[int]],
        shown: int,
    ) -> Table:
        """Its rows are of those that were climbed to the end, those left behind, and the dead."""
        order, behind, dead = groups
        starts = () if made.first is None else ("start",)
        ranks: list[tuple[int, int | str]] = [(i, rank) for rank, i in enumerate(order, 1)]
        ranks += [(i, f"left after size {made.left_after[i]}") for i in behind]
        ranks += [(i, "dead") for i in dead]
        return Table(
            columns=("unit", self.score_name, "rank", "drawn", *starts),
            rows=tuple(
                (
                    units[i],
                    float(made.score[i]),
                    rank,
                    isinstance(rank, int) and rank <= shown,
                    *(() if made.first is None else (float(made.first[i]),)),
                )
                for i, rank in ranks
            ),
            caption="Loss: mean activation before the last step."
            + " A filter whose loss was too low to be drawn was left after the size named, with "
            "its loss there; engine.early_ranking=false climbs all to the end." * bool(behind)
            if self.preset == "keras_seed"
            else f"Score: {self.climbed(layer)} of the finished picture; start: of the first.",
        )
