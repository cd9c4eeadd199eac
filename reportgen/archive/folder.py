"""The report folder: written whole or not at all, and read again."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np

from reportgen.core import results
from reportgen.core.cores import cores
from reportgen.core.errors import OutputError
from reportgen.core.report import Report

RESULTS = "results.json"
CONFIG = "config.yaml"
SUMS = "SHA256SUMS"
LOG = "log.txt"
ARRAYS = "arrays"
HISTORY = "history.jsonl"  # in an archive's root
FORMER = ".former"  # of a report's folder while another takes its place

Placing = Callable[[Path], AbstractContextManager[None]]

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
def staged(target: Path, placing: Placing | None = None) -> Iterator[Path]:
    """A temporary sibling of ``target`` that takes its place once the block ends well.

    The checksums are written last. If the block raises, nothing is left and a former report in
    ``target`` is untouched. A former report is replaced; anything else there is never touched.

    Args:
      placing: entered with the whole folder around its taking the place; an archive's.

    Raises:
      OutputError: if the place cannot be written, or holds something that is not a report.
    """
    if placing is None and (archive := archive_of(target)) is not None:
        raise OutputError(
            f"{target} is in the archive {archive}, whose reports stay as they were.",
            "Copy it to another place, or archive a new one: archive.release=…",
        )
    key = "archive.dir" if placing else "report.dir"
    if target.exists() and not _is_report(target) and (target.is_file() or any(target.iterdir())):
        raise OutputError(
            f"{target} is not empty and is no report, so it is not replaced.",
            f"Choose another folder: {key}=…",
        )
    with writing(target, key):
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:100]}.", dir=target.parent))
    try:
        with writing(target, key):
            # A temporary folder is private; a report is as open as any folder its owner makes.
            mask = os.umask(0)
            os.umask(mask)
            folder.chmod(0o777 & ~mask)
            yield folder
            (folder / SUMS).write_text(checksums(folder), encoding="utf-8")
            with placing(folder) if placing else nullcontext():
                _swap(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def writing(target: Path, key: str) -> Iterator[None]:
    """What a place answers that cannot be written, as an error that names the key to change."""
    try:
        yield
    except OSError as error:
        reason = _PLACES.get(error.errno or 0)
        if reason is None:
            raise
        raise OutputError(
            f"The report cannot be written to {target}: {error.strerror}. {reason}",
            f"Choose another folder: {key}=…",
        ) from error


def archive_of(folder: Path) -> Path | None:
    """The archive that a report's folder is in, or would be; None if there is none."""
    above = folder.resolve().parents
    return above[2] if len(above) > 2 and (above[2] / HISTORY).is_file() else None


def _swap(folder: Path, target: Path) -> None:
    """Put the folder in the target's place; the former report goes last."""
    if not target.exists():
        folder.rename(target)
        return
    if _exchanged(folder, target):
        shutil.rmtree(folder, ignore_errors=True)
        return
    former = folder.with_name(f"{folder.name}{FORMER}")
    target.rename(former)
    try:
        folder.rename(target)
    except OSError:
        former.rename(target)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _exchanged(folder: Path, target: Path) -> bool:
    """Exchange two folders in one step, so that there is a report at any moment (Linux alone)."""
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return (
        renameat2 is not None
        and renameat2(here, os.fsencode(folder), here, os.fsencode(target), exchange) == 0
    )


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
    return listed({name: sha256(folder / name) for name in files(folder)})


def listed(digests: Mapping[str, str]) -> str:
    """Digests by file as SHA256SUMS has them."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def write_results(report: Report, folder: Path, *, arrays: bool = True) -> None:
    """Write results.json and arrays/*.npz, several of these at once.

    Args:
      arrays: False if they are there as they are.
    """
    data, found = results.dump(report)
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULTS).write_text(text + "\n", encoding="utf-8")
    if not arrays or not found:
        return
    (folder / ARRAYS).mkdir()
    with ThreadPoolExecutor(cores()) as pool:
        paths = [folder / ARRAYS / name for name in found]
        for _ in pool.map(_write_npz, paths, found.values()):
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
            # Opened here, since NumPy leaves a damaged file open.
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise OutputError(f"{path} is missing or damaged: {error}.") from error

    return results.load(read_json(folder), load_arrays)
