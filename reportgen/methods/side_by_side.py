"""All attribution methods' maps of one image side by side."""

from __future__ import annotations

from collections.abc import Mapping

from reportgen.core.blocks import Caption, ComparedMap, Comparison, Group
from reportgen.core.images import ImageBatch
from reportgen.methods.base import Explained


def side_by_side(
    explained: Mapping[str, Explained], images: ImageBatch, classes: tuple[str, ...], command: str
) -> tuple[Group, ...]:
    """A group for each image that at least two methods explain.

    Args:
      explained: what each method made, by its name.
      command: the command line that makes it again.
    """
    groups = []
    for i in range(max((len(one.maps) for one in explained.values()), default=0)):
        shown = [one for one in explained.values() if i < len(one.maps)]
        if len(shown) < 2:
            continue
        targets = {int(one.targets[i]) for one in shown}
        several = len(targets) > 1
        groups.append(
            Group(
                title=images.names[i],
                subtitle="" if several else f"class {classes[targets.pop()]}",
                blocks=(
                    Comparison(
                        image=images.pixels[i],
                        maps=tuple(
                            ComparedMap(
                                title=one.title,
                                subtitle=classes[int(one.targets[i])] if several else "",
                                map=one.maps[i],
                                low=float(one.low[i]),
                                high=float(one.high[i]),
                                colormap=one.colormap,
                                opacity=one.opacity,
                            )
                            for one in shown
                        ),
                        caption=Caption(
                            title=f"{images.names[i]} by {len(shown)} methods",
                            detail="the overlay above the map; below each the values drawn as the "
                            "ends of its colormap",
                            override=command,
                        ),
                    ),
                ),
            )
        )
    return tuple(groups)
