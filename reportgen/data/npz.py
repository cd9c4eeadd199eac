"""Images and labels in the arrays of a NumPy .npz file."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from reportgen.config import DataConfig
from reportgen.core.errors import DataError, did_you_mean
from reportgen.core.spec import InputSpec
from reportgen.data.fit import fit_array
from reportgen.data.listing import Entry, Listing, no_file
from reportgen.data.store import Store, make_store

_NAMED = 10  # images in a message
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

    def was_meant_as_labels(self, count: int) -> bool:
        """One value for each image, or labels of another number of images."""
        if self.shape in ((count,), (count, 1)):
            return True
        return self.dtype.kind in "iuU" and len(self.shape) == 1

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
        raise no_file(file, ".npz")
    try:
        with zipfile.ZipFile(file) as archive:
            headers = [_header(archive, name) for name in archive.namelist()]
            images = _images(headers, config.images, file)
            _check_shape(images, spec, file)
            store = make_store(images.shape, _stored(images.dtype))
            found = _Range()
            if images.fortran:
                whole = _whole(archive, images)
                found.add(0, whole)
                store.put(0, whole)
            else:
                for start, part in _parts(archive, images):
                    found.add(start, part)
                    store.put(start, part)
            factor = 1.0 if images.dtype == np.uint8 else found.factor(images, file)
            header = _labels(headers, config.labels, images, file)
            labels = None if header is None else _whole(archive, header).reshape(-1).tolist()
    except _DAMAGED as error:
        raise _damaged(file, error) from error
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


def _damaged(file: Path, error: Exception) -> DataError:
    with file.open("rb") as opened:
        head = opened.read(6)
    if head == b"\x93NUMPY":
        return DataError(
            f"{file} is a single array (.npy), not an archive of arrays (.npz).",
            f"Save it as one: numpy.savez('{file.with_suffix('.npz').name}', images=array).",
        )
    hint = "numpy.savez('FILE.npz', images=…, labels=…) writes one."
    if head[:2] == b"PK":
        hint = "Copy or save it again."
    return DataError(f"{file} is no .npz file, or damaged: {error}.", hint)


def _stored(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.uint8 if dtype == np.uint8 else np.float32)


def _read(store: Store, index: int, factor: float, spec: InputSpec) -> np.ndarray:
    values = store.get(index, index + 1)[0]
    if factor != 1.0:
        values = values * np.float32(factor)
    return fit_array(values if values.ndim == 3 else values[..., None], spec)


@dataclass
class _Range:
    """Smallest and largest value so far, and where some are NaN or infinite."""

    low: float = math.inf
    high: float = -math.inf
    bad: int = 0
    places: list[int] = field(default_factory=list)

    def add(self, start: int, part: np.ndarray) -> None:
        """Take in the images from ``start`` on."""
        if not part.size:
            return
        low, high = float(part.min()), float(part.max())
        # The extremes tell, and need no second array of this size.
        if not (math.isfinite(low) and math.isfinite(high)):
            counts = (~np.isfinite(part)).sum(axis=tuple(range(1, part.ndim)))
            self.bad += int(counts.sum())
            self.places += [start + int(i) for i in np.flatnonzero(counts)]
        self.low, self.high = min(self.low, low), max(self.high, high)

    def factor(self, images: _Header, file: Path) -> float:
        """What takes the values to 0..255."""
        if self.bad:
            shown = ", ".join(map(str, self.places[:_NAMED]))
            raise DataError(
                f"{file}: {self.bad:,} values of {images.key} are NaN or infinite, in "
                f"{len(self.places):,} of {images.shape[0]:,} images: {shown}"
                f"{', …' if len(self.places) > _NAMED else ''}.",
                "Leave these images out, or find where the values come from.",
            )
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
            f"It has: {'; '.join(map(str, headers)) or 'nothing'}.",
            _as_images(next((h for h in headers if len(h.shape) in (3, 4)), None), headers),
        )
    if not found.looks_like_images:
        raise DataError(
            f"{file}: {found} is no array of images, {_EXPECTED}.", _as_images(found, headers)
        )
    return found


def _as_images(found: _Header | None, headers: Sequence[_Header]) -> str:
    """A hint: how an array would be one of images."""
    if any(header.dtype.hasobject for header in ([found] if found else headers)):
        return "Python objects are never unpickled: save numpy.stack(images), all of one size."
    if found is None or len(found.shape) not in (3, 4):
        return "A single image is saved as image[None]; a row of pixels as array.reshape(N, H, W)."
    if found.dtype == np.uint16:
        return "Values 0..65535: save (array // 257).astype('uint8')."
    return "Values 0..255 of another type: save array.astype('uint8')."


def _labels(
    headers: list[_Header], wanted: str | None, images: _Header, file: Path
) -> _Header | None:
    if wanted is None:
        return None
    count = images.shape[0]

    def fits(header: _Header) -> bool:
        return header.key != images.key and header.looks_like_labels(count)

    found = _choose(headers, wanted, fits, "labels", file)
    if found is None:
        # What was meant as labels should not pass for a file without.
        others = (h for h in headers if h.key != images.key and h.was_meant_as_labels(count))
        found = next(others, None)
    if found is not None and not found.looks_like_labels(count):
        raise DataError(
            f"{file}: {found} is no array of labels, ({count},) whole numbers or texts, one for "
            f"each image of {images.key}.",
            "Save it as that; data.labels=null goes on without labels.",
        )
    return found


def _check_shape(images: _Header, spec: InputSpec, file: Path) -> None:
    """Refuse images whose channels this network does not take."""
    channels = images.shape[3] if len(images.shape) == 4 else 1
    taken = (1, 3) if spec.channels in (1, 3) else (spec.channels,)
    first = len(images.shape) == 4 and images.shape[1] in taken
    expected = f"(N, H, W, {spec.channels})"
    if 0 in images.shape:
        raise DataError(f"{file}: {images} holds no images.", "Save at least one.")
    if channels not in taken:
        raise DataError(
            f"{file}: the network takes images {expected}, and {images.key} is {images.shape}.",
            "Its channels come first: save array.transpose(0, 2, 3, 1)."
            if first
            else "Save the channels that the network takes, or compare model.input.channels.",
        )
    if len(images.shape) == 3 and images.shape[2] in (3, 4):
        raise DataError(
            f"{file}: {images.key} is {images.shape}: a single image, or {images.shape[0]} that "
            f"are {images.shape[2]} pixels wide.",
            "Save a single image as array[None], so that it is (1, H, W, C).",
        )
