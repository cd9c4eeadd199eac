"""The procedures by name: every number of each, and what they do beyond numbers.

A setting that is null takes the preset's value; a given one overrides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reportgen.methods.synthesis.optimisers import Optimiser

# Of keras-vis and tf-keras-vis, whose pixels are 0..255; weights here are of pixels as 0..1.
_PIXEL = 255.0

KERAS_SEED: Mapping[str, Any] = {
    "size": None,
    "scales": 9,
    "factor": 1.2,
    "steps": 15,
    "step_size": 1.0,
    "start": 128.0,
    "noise": 20.0,
    "subtract_mean": False,
    "rectify": True,
}
OCTAVES: Mapping[str, Any] = {
    "size": None,
    "scales": 4,
    "factor": 1.4,
    "steps": 30,
    "step_size": 8.0,
    "start": 128.0,
    "noise": 20.0,
    "tv_weight": 50.0,
    "lp_weight": 40.0,
    "lp": 1.0,
    "jitter": (1,),
    "value_range": (0.0, 255.0),
}

# What every procedure of the general ascent has, where it does not say otherwise.
_ASCENT: Mapping[str, Any] = {
    "size": None,
    "tv_weight": 0.0,
    "lp_weight": 0.0,
    "lp": 1.0,
    "shake": 0.0,
    "redirect": 16,
}
_VIEWS: Mapping[str, Any] = {"pad": 0, "jitter": (0, 0), "zoom": (1.0,), "rotate": (0.0,)}
ASCENTS: Mapping[str, Mapping[str, Any]] = {
    "keras_vis": {
        **_ASCENT,
        **_VIEWS,
        "steps": 200,
        "step_size": 1.0,
        "decay": 0.95,
        "start": _PIXEL / 2,
        "noise": 0.05 * _PIXEL * 12**0.5,  # peak to peak, of a deviation of 5 %
        "tv_weight": 10 * _PIXEL**2,
        "lp_weight": 10 * _PIXEL,
        "lp": 6.0,
        "redirect": 0,
    },
    "tf_keras_vis": {
        **_ASCENT,
        **_VIEWS,
        "steps": 200,
        "step_size": 1.0,
        "decay": 0.999,
        "start": _PIXEL / 2,
        "noise": _PIXEL,
        "tv_weight": 1.0 * _PIXEL,
        "lp_weight": 0.3 * _PIXEL,
        "jitter": (4, 0),
        "rotate": tuple(tenths / 10 for tenths in range(-10, 11)),
        "redirect": 0,
    },
    "lucid": {
        **_ASCENT,
        **_VIEWS,
        "size": 128,
        "steps": 512,
        "step_size": 0.05,
        "pad": 12,
        "jitter": (4, 2),  # Lucid gives the whole range, 8 and 4
        "zoom": tuple(1 + (i - 5) / 50 for i in range(11)),
        "rotate": (*(float(degrees) for degrees in range(-10, 11)), *(0.0,) * 5),
    },
    "maco": {
        **_ASCENT,
        "size": 512,
        "steps": 256,
        "step_size": 1.0,
        "crops": 32,
        "box": (0.5, 0.05),
        "shake": 0.08 / 2 * _PIXEL,  # Xplique's pixels are -1..1
    },
}
# Lucid's recipe for caricatures differs in what is shown.
CARICATURE: Mapping[str, Any] = {
    **ASCENTS["lucid"],
    "size": None,
    "pad": 8,
    "jitter": (4, 1),
    "zoom": (0.9, 0.95, 1.05, 1.1, 1.0, 1.0, 1.0, 1.0),
    "rotate": (*(float(degrees) for degrees in range(-5, 5)), *(0.0,) * 5),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a preset of the general ascent does beyond its numbers.

    Attributes:
      unit_gradient: divide the gradient by its root mean square first.
      penalties: whose total variation and norm.
      keep_best: end with the picture of the best loss, standardised to mean 0.5 and deviation 0.1.
      source: in words, for the caption.
    """

    parameterisation: Literal["pixels", "fourier", "maco"]
    optimiser: Optimiser
    penalties: Literal["keras_vis", "tf_keras_vis"] = "tf_keras_vis"
    unit_gradient: bool = False
    keep_best: bool = False
    source: str


KINDS: Mapping[str, Kind] = {
    "keras_vis": Kind(
        parameterisation="pixels",
        optimiser="rmsprop",
        penalties="keras_vis",
        unit_gradient=True,
        keep_best=True,
        source="pixels, gradient / RMS, RMSprop (keras-vis)",
    ),
    "tf_keras_vis": Kind(
        parameterisation="pixels",
        optimiser="tf_rmsprop",
        source="pixels, RMSprop (tf-keras-vis; its modifiers change the picture for good and it "
        "drifts, ours change only what is shown)",
    ),
    "lucid": Kind(
        parameterisation="fourier",
        optimiser="adam",
        source="Fourier coefficients of decorrelated colours, Adam (Lucid)",
    ),
    "maco": Kind(
        parameterisation="maco",
        optimiser="nadam",
        source="phases alone, with the mean magnitudes of the first 500 images' spectra, NAdam "
        "(Fel et al. 2023, Xplique)",
    ),
}


def resolve(preset: str, values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's values, overridden by those given that are not None.

    Raises:
      ValueError: if the preset has no use for a given one.
    """
    chosen = {key: value for key, value in given.items() if value is not None}
    if unknown := sorted(chosen.keys() - values.keys()):
        raise ValueError(
            f"the preset {preset} has no use for {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(values.keys() & given.keys()))}"
        )
    return {**values, **chosen}


def in_words(values: Mapping[str, Any]) -> str:
    """Resolved values for a caption, less what does nothing; long lists by their ends."""
    return ", ".join(
        f"{key.replace('_', ' ')} {word(value)}"
        for key, value in values.items()
        if value and any(np.ravel(value)) and not (key == "zoom" and set(value) == {1.0})
    )


def word(value: Any) -> str:
    """One value as people write it."""
    if isinstance(value, tuple):
        if len(value) > 4:
            return f"{min(value):g}…{max(value):g} ({len(value)} values)"
        return "/".join(word(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
