"""Keras 3's .weights.h5 and .keras.

A layer is a group named by its class and count (``layers/conv2d_1``); its variables are numbered
in the order in which the layer made them. Newer files keep the layer's own name in an attribute,
a .keras file in its config.json.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, Tensor, reading
from reportgen.models.weights.hdf5 import Source, child, opened, tensor, text

WEIGHTS = "model.weights.h5"
# What training keeps beside a network's weights.
_TRAINING = {"optimizer", "metrics", "_metrics", "_compile_metrics", "_loss_tracker"}
_RANDOM = {"seed_generator"}


def is_keras3(file: Any) -> bool:
    """True if an open HDF5 file has variables anywhere that Keras 3 puts them."""
    found: list[str] = []
    file.visit(lambda name: found.append(name) if name.split("/")[-1] == "vars" else None)
    return bool(found)


def read(path: Path) -> Checkpoint:
    """The weights of a .weights.h5 by layer and number (``block1_conv1.0``).

    Raises:
      WeightsError: if the file is damaged.
    """
    return _checkpoint(path, ".weights.h5", lambda: path, {})


def read_archive(path: Path) -> Checkpoint:
    """The weights of a .keras by layer and number; its config.json is read for names only.

    Raises:
      WeightsError: if the file is damaged.
    """

    def source() -> io.BytesIO:
        with zipfile.ZipFile(path) as archive:
            return io.BytesIO(archive.read(WEIGHTS))

    with reading(path, ".keras"), zipfile.ZipFile(path) as archive:
        names: Mapping[str, str] = {}
        if "config.json" in archive.namelist():
            names = dict(_configured(json.loads(archive.read("config.json")), ""))
    return _checkpoint(path, ".keras", source, names)


def _checkpoint(path: Path, kind: str, source: Source, names: Mapping[str, str]) -> Checkpoint:
    tensors: dict[str, Tensor] = {}
    unnamed = False
    with opened(path, source) as file:
        for variable in _walk(file, "", (), names):
            if variable.name in tensors:
                raise WeightsError(f"{path} holds {variable.name} twice.")
            tensors[variable.name] = tensor(path, source, variable.dataset)
            unnamed = unnamed or not variable.named
    advice = (
        "The file keeps no names of layers, as older versions of Keras wrote it: load it in Keras "
        "and save it again, as .keras."
    )
    return Checkpoint(f"Keras {kind}", tensors, numbered=True, advice=advice if unnamed else "")


class _Variable(NamedTuple):
    """A variable, the names of its layers and its number, and if the file had those names."""

    name: str
    dataset: Any
    named: bool


def _walk(
    group: Any, where: str, chain: tuple[str, ...], names: Mapping[str, str]
) -> Iterator[_Variable]:
    """Every variable with its layers' names; containers of layers have none of their own."""
    if "vars" in group:
        variables = child(group, "vars")
        name = text(variables.attrs.get("name", "")) or names.get(where, "")
        if where:
            chain = (*chain, (name or where.rpartition("/")[2]).replace("/", "."))
        for number in sorted(variables, key=_natural):
            dotted = ".".join((*(chain or ("vars",)), number))
            yield _Variable(dotted, child(variables, number), bool(name or not where))
    for part in sorted(group, key=_natural):
        if part == "vars" or part in _RANDOM or (not where and part in _TRAINING):
            continue
        yield from _walk(child(group, part), f"{where}/{part}".strip("/"), chain, names)


def _natural(name: str) -> tuple[str, int]:
    """``conv2d_2`` before ``conv2d_10``, as layers were counted."""
    stem, _, number = name.rpartition("_")
    if name.isdecimal():
        return "", int(name)
    return (stem, int(number)) if number.isdecimal() else (name, 0)


def _configured(config: Any, where: str) -> Iterator[tuple[str, str]]:
    """Group and name of each layer, by counting classes in a configuration as Keras does."""
    used: dict[str, int] = {}
    for layer in config.get("config", {}).get("layers", []):
        snake = re.sub(r"\W+", "", layer["class_name"])
        snake = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", snake)
        snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", snake).lower()
        count = used.get(snake, -1) + 1
        used[snake] = count
        group = f"{where}layers/{snake}_{count}" if count else f"{where}layers/{snake}"
        yield group, layer["config"]["name"]
        yield from _configured(layer, f"{group}/")
