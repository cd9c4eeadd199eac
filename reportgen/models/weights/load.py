"""A weights file of any format: recognised by its content, read, and placed into a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jax

from reportgen.core.errors import WeightsError
from reportgen.models.weights.checkpoint import Checkpoint, not_whole, reading
from reportgen.models.weights.place import Naming, fit

__all__ = ["Naming", "Placed", "looks_like_weights", "place_file", "read"]

_KNOWN = (
    "safetensors, Keras .h5, .weights.h5 and .keras, Caffe .caffemodel, Orbax folders, "
    "Flax msgpack, NumPy .npz and PyTorch .pt and .pth"
)
_ENDINGS = {
    ".safetensors": "safetensors",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".keras": ".keras",
    ".caffemodel": "Caffe .caffemodel",
    ".msgpack": "Flax msgpack",
    ".npz": "NumPy .npz",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
}
_LEGACY_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


@dataclass(frozen=True)
class Placed:
    """A network's parameters out of a file.

    Attributes:
      parameters: by the network's dotted names, in the network's layouts and types; without
        ``strict`` maybe not all.
      format: of the file, in words.
      scheme: whose names the file uses: ``own`` or one of the network's published schemes.
      sha256: of the file; of a folder, over its files' relative names and contents.
      problems: what did not fit, a line each.
    """

    parameters: dict[str, jax.Array]
    format: str
    scheme: str
    sha256: str
    problems: tuple[str, ...]


def place_file(
    path: Path,
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    naming: Naming,
    *,
    strict: bool,
    finite: bool = True,
) -> Placed:
    """Read a file and give each of a network's parameters its tensor.

    Args:
      shapes: the network's parameters by dotted name.
      naming: what the network says of other frameworks' names.
      strict: every parameter must find its tensor, and every tensor its parameter.
      finite: NaN and infinite values do not fit.

    Raises:
      WeightsError: if the file is of no known format, is damaged, or does not fit.
    """
    checkpoint = read(path)
    fitted = fit(checkpoint, shapes, path, naming, strict=strict, finite=finite)
    return Placed(
        fitted.parameters, checkpoint.format, fitted.scheme, sha256(path), fitted.problems
    )


def read(path: Path) -> Checkpoint:
    """Open a file or folder of any known format; values are read when asked for.

    Raises:
      WeightsError: if it is of no known format, or damaged.
    """
    try:
        return _reader(path)(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error


def looks_like_weights(path: Path) -> bool:
    """Whether a file's ending, or a folder's content, is that of a known format."""
    if path.is_dir():
        from reportgen.models.weights import orbax

        return orbax.is_checkpoint(path)
    return path.suffix.lower() in _ENDINGS


def sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder, over names and contents of its files in sorted order."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{sha256(part)}  {part.relative_to(path).as_posix()}\n".encode())
    return digest.hexdigest()


def _reader(path: Path) -> Callable[[Path], Checkpoint]:
    """The reader of what a file's first bytes say it is; libraries are imported when needed."""
    if path.is_dir():
        return _folder_reader(path)
    with path.open("rb") as file:
        head = file.read(4096)
    # Eight bytes of length, then JSON of at most 100 MB; a file cut short says so when it is read.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000:
        from reportgen.models.weights import safetensors

        return safetensors.read
    if b"\x89HDF\r\n\x1a\n" in (head[at : at + 8] for at in (0, 512, 1024, 2048)):
        return _hdf5_reader(path)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_reader(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 1:
        return _pickle_reader(path, head)
    if head[:1] in _MSGPACK_MAPS:
        from reportgen.models.weights import flax_msgpack

        return flax_msgpack.read
    # A NetParameter begins with its name, or a layer of one of two formats.
    if head[:1] in (b"\n", b"\x12") or head[:2] == b"\xa2\x06":
        from reportgen.models.weights import caffemodel

        return caffemodel.read
    raise _unknown(path, head)


_MSGPACK_MAPS = tuple(bytes([first]) for first in (*range(0x81, 0x90), 0xDE, 0xDF))


def _folder_reader(path: Path) -> Callable[[Path], Checkpoint]:
    from reportgen.models.weights import orbax

    if orbax.is_checkpoint(path):
        return orbax.read
    inside = sorted(child.name for child in path.iterdir())
    raise WeightsError(
        f"{path} is a folder, but not one that Orbax wrote: it holds "
        f"{', '.join(inside[:5]) or 'nothing'}{', …' if len(inside) > 5 else ''}.",
        f"Give a file, or an Orbax folder. Known formats: {_KNOWN}.",
    )


def _hdf5_reader(path: Path) -> Callable[[Path], Checkpoint]:
    from reportgen.models.weights import hdf5, keras3, keras_h5

    with hdf5.opened(path, lambda: path) as file:
        if keras_h5.is_legacy(file):
            return keras_h5.read
        if keras3.is_keras3(file):
            return keras3.read
        holds = ", ".join(list(file)[:5]) or "nothing"
    raise WeightsError(
        f"{path} is an HDF5 file, but not one of Keras's: it holds {holds}.",
        f"Known formats: {_KNOWN}.",
    )


def _zip_reader(path: Path) -> Callable[[Path], Checkpoint]:
    from reportgen.models.weights import keras3, npz, pytorch

    with reading(path, _ENDINGS.get(path.suffix, "zip")), zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    if keras3.WEIGHTS in members:
        return keras3.read_archive
    if any(member.endswith("data.pkl") for member in members):
        return pytorch.read
    if any(member.endswith(".npy") for member in members):
        return npz.read
    raise WeightsError(
        f"{path} is a zip archive of no known kind: it holds "
        f"{', '.join(members[:5]) or 'nothing'}{', …' if len(members) > 5 else ''}.",
        f"Known formats: {_KNOWN}.",
    )


def _pickle_reader(path: Path, head: bytes) -> Callable[[Path], Checkpoint]:
    from reportgen.models.weights import pytorch

    if head[2 : 2 + len(_LEGACY_TORCH)] == _LEGACY_TORCH:
        return pytorch.read
    if _ENDINGS.get(path.suffix.lower(), "PyTorch") != "PyTorch":
        raise _unknown(path, head)  # two bytes may look like a pickle by chance
    raise WeightsError(
        f"{path} is a Python pickle, which could run any code when it is loaded; none is.",
        f"Save it from the program that made it in another format. Known: {_KNOWN}.",
    )


def _unknown(path: Path, head: bytes) -> WeightsError:
    begins = f"it begins with {head[:16]!r}" if head else "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return WeightsError(
            f"{path} is a pointer of Git LFS, not the file itself.", "Run git lfs pull."
        )
    if kind := _ENDINGS.get(path.suffix.lower()):
        return not_whole(path, kind, begins)
    return WeightsError(f"{path} is in no known format: {begins}.", f"Known formats: {_KNOWN}.")
