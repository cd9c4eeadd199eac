"""Both kinds of room for arrays give back what was put in."""

from __future__ import annotations

import errno
import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reportgen.core.errors import DataError
from reportgen.data.store import make_store

VALUES = np.random.default_rng(0).integers(0, 256, (7, 3, 2, 1), np.uint8)


@pytest.mark.parametrize("in_memory", [0, 10**6])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_was_put_is_got(in_memory: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reportgen.data.store.IN_MEMORY", in_memory)
    values = VALUES.astype(dtype) / (1 if dtype == "uint8" else 3)
    values = values.astype(dtype)
    store = make_store(values.shape, values.dtype)
    assert hasattr(store, "_file") == (in_memory == 0)
    store.put(4, values[4:7])
    for index in (2, 0, 3, 1):
        store.put(index, values[index])
    for start, stop in ((0, 7), (2, 5), (6, 7), (3, 3)):
        np.testing.assert_array_equal(store.get(start, stop), values[start:stop])
        assert store.get(start, stop).dtype == values.dtype


def test_a_file_leaves_nothing_behind_and_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reportgen.data.store.IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = make_store(VALUES.shape, VALUES.dtype)
    store.put(0, VALUES)
    assert list(tmp_path.iterdir()) == []
    number: int = store._file.fileno()  # type: ignore[attr-defined]
    assert os.fstat(number).st_size == VALUES.size
    del store
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_full_disk_says_where_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reportgen.data.store.IN_MEMORY", 0)
    store: Any = make_store((1000, 1024), np.dtype(np.float32))

    class Full:
        def seek(self, offset: int) -> None: ...

        def write(self, content: memoryview) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "_file", Full())
    with pytest.raises(DataError, match=r"need 4 MiB for a while, .* no room left in .*\nSet TMPD"):
        store.put(0, np.zeros(1024, np.float32))
