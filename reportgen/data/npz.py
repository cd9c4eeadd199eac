"""Images and labels in the arrays of a NumPy .npz file."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from reportgen.config import DataConfig
from reportgen.core.errors import DataError, did_you_mean
from reportgen.core.spec import InputSpec
from reportgen.data.fit import fit_array
from reportgen.data.listing import Entry, Listing
from reportgen.data.store import Store, make_store

_CHUNK = 16 * 2**20  # bytes that are unpacked at once
# What zipfile and NumPy raise on damaged files.
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError)


@dataclass(frozen=True)
class _Header:
    """What an array says of itself before its values."""

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def looks_like_images(self) -> bool:
        return len(self.shape) in (3, 4) and (self.dtype == np.uint8 or self.dtype.kind == "f")

    def looks_like_labels(self, count: int) -> bool:
        return self.dtype.kind in "iuU" and self.shape in ((count,), (count, 1))

    def __str__(self) -> str:
        return f"{self.key} {self.shape} {self.dtype}"


def open_source(config: DataConfig, path: str, spec: InputSpec) -> Listing:
    """The images of a .npz file, named by their place in the array.

    Images are (N, H, W) or (N, H, W, C): uint8, or floats, whose range over the whole array tells
    their scale: within 0..1 it is that, within 0..255 and beyond 128 it is that, and all else is
    refused. Labels are (N,) indices or names. An array that is the only one to fit need not be
    named. Nothing is unpickled.

    Raises:
      DataError: if there is no such file or array, or it holds no images for this network.
    """
    file = Path(path)
    if not file.is_file():
        near = [str(other) for other in file.parent.glob("*.npz")]
        raise DataError(f"There is no file {file}.", did_you_mean(str(file), near))
    try:
        with zipfile.ZipFile(file) as archive:
            headers = [_header(archive, name) for name in archive.namelist()]
            images = _images(headers, config.images, file)
            _check_shape(images, spec, file)
            store = make_store(images.shape, _stored(images.dtype))
            found = _Range()
            if images.fortran:
                whole = _whole(archive, images)
                found.add(whole)
                store.put(0, whole)
            else:
                for start, part in _parts(archive, images):
                    found.add(part)
                    store.put(start, part)
            factor = 1.0 if images.dtype == np.uint8 else found.factor(images, file)
            header = _labels(headers, config.labels, images, file)
            labels = None if header is None else _whole(archive, header).reshape(-1).tolist()
    except _DAMAGED as error:
        raise DataError(f"{file} is no .npz file, or damaged: {error}") from error
    count = images.shape[0]
    digits = len(str(count - 1))
    entries = tuple(
        Entry(
            name=f"{images.key}-{i:0{digits}d}",
            read=partial(_read, store, i, factor),
            label=None if labels is None else str(labels[i]).strip(),
            origin="" if header is None else f"{file}: {header.key}[{i}]",
        )
        for i in range(count)
    )
    return Listing(entries=entries, source=path, dtype=_stored(images.dtype).type)


def _stored(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.uint8 if dtype == np.uint8 else np.float32)


def _read(store: Store, index: int, factor: float, spec: InputSpec) -> np.ndarray:
    values = store.get(index, index + 1)[0]
    if factor != 1.0:
        values = values * np.float32(factor)
    return fit_array(values if values.ndim == 3 else values[..., None], spec)


@dataclass
class _Range:
    """Smallest and largest value so far."""

    low: float = math.inf
    high: float = -math.inf

    def add(self, part: np.ndarray) -> None:
        if part.size:
            # A NaN is kept: min and max of the array carry it, and Python's would drop it.
            self.low = float(np.minimum(self.low, part.min()))
            self.high = float(np.maximum(self.high, part.max()))

    def factor(self, images: _Header, file: Path) -> float:
        """What takes the values to 0..255."""
        if self.low >= 0 and self.high <= 1:
            return 255.0
        if self.low >= 0 and 128 <= self.high <= 255:
            return 1.0
        raise DataError(
            f"{file}: the values of {images.key} go from {self.low:g} to {self.high:g}; floats are "
            "taken as 0..1 or as 0..255, and these are neither.",
            "Undo the normalisation before saving, or save 0..255 as uint8.",
        )


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(name) as member:
        shape, fortran, dtype = _read_header(member)
    return _Header(name.removesuffix(".npy"), shape, dtype, fortran)


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


def _whole(archive: zipfile.ZipFile, header: _Header) -> np.ndarray:
    with archive.open(f"{header.key}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _parts(archive: zipfile.ZipFile, header: _Header) -> Iterator[tuple[int, np.ndarray]]:
    """An array in C order piece by piece, with the index that each begins at."""
    one = header.shape[1:]
    size = header.dtype.itemsize * math.prod(one)
    step = max(1, _CHUNK // size)
    with archive.open(f"{header.key}.npy") as member:
        _read_header(member)
        for start in range(0, header.shape[0], step):
            count = min(step, header.shape[0] - start)
            content = member.read(count * size)
            if len(content) < count * size:
                raise EOFError(f"{header.key} ends early")
            yield start, np.frombuffer(content, header.dtype).reshape(count, *one)


def _choose(
    headers: list[_Header], wanted: str, fits: Callable[[_Header], bool], setting: str, file: Path
) -> _Header | None:
    if wanted == "auto":
        fitting = [header for header in headers if fits(header)]
        if len(fitting) > 1:
            raise DataError(
                f"{file} has several arrays that may be the {setting}: "
                f"{'; '.join(map(str, fitting))}.",
                f"Name one: data.{setting}={fitting[0].key}",
            )
        return fitting[0] if fitting else None
    for header in headers:
        if header.key == wanted:
            if header.dtype.hasobject:
                raise DataError(
                    f"{file}: {wanted} holds Python objects, which are never unpickled.",
                    "Save it as an array of numbers or of text.",
                )
            return header
    raise DataError(
        f"{file} has no array {wanted!r} (data.{setting}). It has: {'; '.join(map(str, headers))}.",
        did_you_mean(wanted, [header.key for header in headers]),
    )


_EXPECTED = "(N, H, W) or (N, H, W, C), of uint8 or floats"


def _images(headers: list[_Header], wanted: str, file: Path) -> _Header:
    found = _choose(headers, wanted, lambda header: header.looks_like_images, "images", file)
    if found is None:
        raise DataError(
            f"{file} has no images, {_EXPECTED}. "
            f"It has: {'; '.join(map(str, headers)) or 'nothing'}."
        )
    if not found.looks_like_images:
        raise DataError(
            f"{file}: {found} is no array of images, {_EXPECTED}.",
            "Values 0..255 of another type: save array.astype('uint8').",
        )
    return found


def _labels(
    headers: list[_Header], wanted: str | None, images: _Header, file: Path
) -> _Header | None:
    if wanted is None:
        return None
    count = images.shape[0]

    def fits(header: _Header) -> bool:
        return header.key != images.key and header.looks_like_labels(count)

    found = _choose(headers, wanted, fits, "labels", file)
    if found is not None and not found.looks_like_labels(count):
        raise DataError(
            f"{file}: {found} is no array of labels, ({count},) whole numbers or texts, one for "
            f"each image of {images.key}."
        )
    return found


def _check_shape(images: _Header, spec: InputSpec, file: Path) -> None:
    """Refuse images whose channels this network does not take."""
    channels = images.shape[3] if len(images.shape) == 4 else 1
    taken = (1, 3) if spec.channels in (1, 3) else (spec.channels,)
    first = len(images.shape) == 4 and images.shape[1] in taken
    expected = f"(N, H, W, {spec.channels})"
    if 0 in images.shape:
        raise DataError(f"{file}: {images} holds no images.")
    if channels not in taken:
        raise DataError(
            f"{file}: the network takes images {expected}, and {images.key} is {images.shape}.",
            "Its channels come first: save array.transpose(0, 2, 3, 1)." if first else "",
        )
    if len(images.shape) == 3 and images.shape[2] in (3, 4):
        raise DataError(
            f"{file}: {images.key} is {images.shape}: a single image, or {images.shape[0]} that "
            f"are {images.shape[2]} pixels wide.",
            "Save a single image as array[None], so that it is (1, H, W, C).",
        )
