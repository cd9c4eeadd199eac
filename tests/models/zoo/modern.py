"""What the tests of ResNet, ConvNeXt and ViT share: run a case, compare it with its peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.at_once import at_once
from tests.goldens import zoo_modern
from tests.goldens.zoo_modern import LAYERS, LOGITS, Case, case


@dataclass(frozen=True)
class Ran:
    """A case, and by path what our network makes of it; the logits are under ""."""

    case: Case
    outputs: dict[str, np.ndarray]


def run(name: str, *overrides: str, front: Sequence[str] = ()) -> Ran:
    """Logits and the layers that the golden file keeps; or some of these, and no logits.

    What is computed for other layers alone is not compiled.
    """
    given = case(name, *overrides)
    model = given.network.with_weights(given.parameters())

    def forward(model, x):
        logits, activations = model.apply(x)
        kept = {path: activations[path] for path in front or LAYERS[name]}
        return kept if front else {"": logits} | kept

    return Ran(given, at_once(forward, model, given.x))


def assert_close(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> None:
    """To 2e-5 of the largest value, layer by layer; correct ones differ by 2e-6."""
    assert ours.keys() == theirs.keys()
    for path, expected in theirs.items():
        assert ours[path].shape == expected.shape, path
        error = np.abs(ours[path] - expected).max() / np.abs(expected).max()
        assert error <= 2e-5, f"{path or 'logits'}: {error:.2g}"


def golden(name: str) -> dict[str, np.ndarray]:
    """What the golden file keeps of a network."""
    with np.load(zoo_modern.PATH) as file:
        return {path: file[f"{name}/{path}"] for path in ("", *LAYERS[name])}


def sampled(outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of whole outputs what the golden file keeps."""
    picked = {path: zoo_modern.sampled(output) for path, output in outputs.items() if path}
    return picked | ({"": outputs[""][0, :LOGITS]} if "" in outputs else {})
