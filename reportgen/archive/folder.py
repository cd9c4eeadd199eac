"""The report folder: written whole or not at all, and read again."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from reportgen.core import results
from reportgen.core.cores import cores
from reportgen.core.errors import OutputError
from reportgen.core.report import Report

RESULTS = "results.json"
SUMS = "SHA256SUMS"
LOG = "log.txt"
ARRAYS = "arrays"

# What a full, read-only or forbidden place answers, and what a person can do about it.
_PLACES = {
    errno.ENOSPC: "The disk is full.",
    errno.EDQUOT: "The disk quota is used up.",
    errno.EFBIG: "The limit on the size of files is too low.",
    errno.EROFS: "The file system is read-only.",
    errno.EACCES: "You may not write there.",
    errno.EPERM: "You may not write there.",
    errno.ENOTDIR: "A part of the path is a file.",
    errno.EEXIST: "A file of that name is in the way.",
    errno.ENOENT: "It cannot be made there.",
    errno.ENAMETOOLONG: "The name is too long.",
}


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A temporary sibling of ``target`` that takes its place once the block ends well.

    The checksums are written last. If the block raises, nothing is left and a former report in
    ``target`` is untouched. A former report is replaced; anything else there is never touched.

    Raises:
      OutputError: if the place cannot be written, or holds something that is not a report.
    """
    if target.exists() and not _is_report(target) and (target.is_file() or any(target.iterdir())):
        raise OutputError(
            f"{target} is not empty and is no report, so it is not replaced.",
            "Choose another folder: report.dir=…",
        )
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
    try:
        with _writing(target):
            # A temporary folder is private; a report is as open as any folder its owner makes.
            mask = os.umask(0)
            os.umask(mask)
            folder.chmod(0o777 & ~mask)
            yield folder
            (folder / SUMS).write_text(checksums(folder))
            _swap(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _PLACES.get(error.errno or 0)
        if reason is None:
            raise
        raise OutputError(
            f"The report cannot be written to {target}: {error.strerror}. {reason}",
            "Choose another folder: report.dir=…",
        ) from error


def _swap(folder: Path, target: Path) -> None:
    """Put the folder in the target's place; the former report goes last."""
    if not target.exists():
        folder.rename(target)
        return
    former = folder.with_name(f"{folder.name}.former")
    target.rename(former)
    try:
        folder.rename(target)
    except OSError:
        former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _is_report(path: Path) -> bool:
    return (path / RESULTS).is_file() and (path / SUMS).is_file()


def files(folder: Path) -> list[str]:
    """Every file of a report that is hashed, as sorted paths relative to the folder."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if name not in (SUMS, LOG))


def sha256(path: Path) -> str:
    """Digest of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(folder: Path) -> str:
    """The content of SHA256SUMS, which ``sha256sum -c`` reads."""
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in files(folder))


def write_results(report: Report, folder: Path) -> None:
    """Write results.json and arrays/*.npz, several of these at once."""
    data, arrays = results.dump(report)
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULTS).write_text(text + "\n", encoding="utf-8")
    if arrays:
        (folder / ARRAYS).mkdir()
    with ThreadPoolExecutor(cores()) as pool:
        paths = [folder / ARRAYS / name for name in arrays]
        for _ in pool.map(_write_npz, paths, arrays.values()):
            pass  # what went wrong in a thread is raised here


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """A compressed .npz whose bytes depend on the arrays alone.

    Not ``np.savez_compressed``: its keyword arguments cannot be named ``file``, and level 6 takes
    several times as long as level 1 for a few per cent of noise-like floats.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, buffer.getvalue(), compresslevel=1)


def read_json(folder: Path) -> object:
    """The content of results.json.

    Raises:
      OutputError: if the folder is no report, or the file is damaged.
    """
    if not folder.is_dir():
        raise OutputError(f"There is no folder {folder}.", "Give the folder of a report.")
    path = folder / RESULTS
    if not path.is_file():
        raise OutputError(f"{folder} is no report: it has no {RESULTS}.")
    try:
        data: object = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OutputError(f"{path} is damaged: {error}.") from error
    return data


def read_report(folder: Path) -> Report:
    """The report in a folder, its arrays loaded.

    Raises:
      OutputError: if the folder is no report, or a part of it is damaged or missing.
    """

    def load_arrays(name: str) -> Mapping[str, np.ndarray]:
        path = folder / ARRAYS / Path(name).name
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise OutputError(f"{path} is missing or damaged: {error}.") from error

    return results.load(read_json(folder), load_arrays)
