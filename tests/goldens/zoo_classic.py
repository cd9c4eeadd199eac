"""Makes zoo_classic.npz: what PyTorch computes for the classic networks, for a test without it.

Run it in the root where torch is installed: ``python -m tests.goldens.zoo_classic``. It was made
with PyTorch 2.13. Weights and picture follow from ``tests/peers/classic.py``. For every network it
holds the first 20 logits and, for each layer of ``PLACES``, 300 values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

from reportgen.compose import conf_dir
from reportgen.config import read
from tests.peers import torch_classic
from tests.peers.classic import PLACES, picture, sampled


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for name, places in PLACES.items():
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            spec = read(compose("config", [f"model={name}"])).model.input
        network = torch_classic.filled(name)
        x = spec.normalise(picture(spec.height, spec.width))
        logits, kept = torch_classic.outputs(network, x, list(places.values()))
        arrays[f"{name}/logits"] = logits[0, :20].numpy()
        for ours, theirs in places.items():
            arrays[f"{name}/{ours}"] = sampled(kept[theirs])
            print(name, ours, f"largest {kept[theirs].abs().max():.3g}")
        print(name, f"logits' deviation {logits.std():.3g}")
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
