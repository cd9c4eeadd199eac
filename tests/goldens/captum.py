"""Makes captum.npz: what Captum computes, for a test of attribution methods without it.

Run it in the root where torch and captum are installed: ``python -m tests.goldens.captum``. It was
made with Captum 0.9.0 and PyTorch 2.13, in float64. Networks, inputs and noise follow from
``tests/peers/attribution.py``. For every network and method it holds 300 values and the largest
absolute one; and the infidelities of a map.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir

from reportgen.compose import conf_dir
from reportgen.config import read
from tests.peers import captum_maps
from tests.peers.attribution import SMALL_SPEC, TARGETS, inputs
from tests.peers.classic import sampled


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for name in TARGETS:
        spec = SMALL_SPEC
        if name != "small":
            with initialize_config_dir(str(conf_dir()), version_base="1.3"):
                spec = read(compose("config", [f"model={name}"])).model.input
        given = inputs(name, spec)
        for method, values in captum_maps.maps(name, *given).items():
            largest = np.abs(values).max()
            print(f"{name} {method}: largest {largest:.3g}")
            arrays[f"{name}/{method}"] = np.append(sampled(values), largest).astype(np.float32)
        arrays[f"infidelity/{name}"] = captum_maps.infidelities(name, given[0])
        print(f"{name} infidelity: {arrays[f'infidelity/{name}'].tolist()}")
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)


if __name__ == "__main__":
    main()
