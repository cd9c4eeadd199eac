"""Images decoded by a pool of threads, in the source's order, while others already use them."""

from __future__ import annotations

import hashlib
import operator
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from reportgen.core.cores import cores
from reportgen.core.errors import DataError
from reportgen.core.images import Facts, Skipped
from reportgen.data.store import Store

THREADS = 8  # more do not help: one lock guards the store
# Decoded images that wait for a slow one before them, for each thread.
_AHEAD = 4


@dataclass(frozen=True)
class Job:
    """One image to decode: ``read`` raises DataError if it cannot be used."""

    name: str
    read: Callable[[], np.ndarray]
    label: int | None


@dataclass
class _Work:
    """What the threads share. They know nothing of ``DecodedPixels``, whose end is theirs too."""

    jobs: Sequence[Job]
    store: Store
    source: str
    digest: hashlib._Hash
    ahead: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    taken: int = 0
    passed: int = 0  # jobs whose image is in the store, or was skipped
    waiting: dict[int, np.ndarray | str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    error: BaseException | None = None
    stopped: bool = False

    @property
    def done(self) -> bool:
        return self.passed == len(self.jobs)

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()

    def run(self) -> None:
        """One thread: take a job, decode, hand on whatever is next in order."""
        try:
            while (index := self._take()) is not None:
                try:
                    result: np.ndarray | str = self.jobs[index].read()
                except DataError as error:
                    result = str(error)
                with self.changed:
                    self.waiting[index] = result
                    self._hand_on()
                    self.changed.notify_all()
        except BaseException as error:  # noqa: BLE001 (raised again where the images are used)
            with self.changed:
                self.error = self.error or error
                self.changed.notify_all()

    def _take(self) -> int | None:
        with self.changed:
            self.changed.wait_for(
                lambda: (
                    self.stopped
                    or self.error is not None
                    or self.taken == len(self.jobs)
                    or self.taken - self.passed < self.ahead
                )
            )
            if self.stopped or self.error is not None or self.taken == len(self.jobs):
                return None
            self.taken += 1
            return self.taken - 1

    def _hand_on(self) -> None:
        while self.passed in self.waiting:
            job, result = self.jobs[self.passed], self.waiting.pop(self.passed)
            if isinstance(result, str):
                self.skipped.append(Skipped(job.name, result))
            else:
                self.store.put(len(self.names), result)
                self.digest.update(job.name.encode() + b"\0")
                self.digest.update(np.ascontiguousarray(result).data)
                if job.label is not None:
                    self.digest.update(job.label.to_bytes(4, "little"))
                    self.labels.append(job.label)
                self.names.append(job.name)
            self.passed += 1
        if self.done and not self.names:
            first = "".join(f"\n  {item.name}: {item.reason}" for item in self.skipped[:5])
            raise DataError(
                f"None of the {len(self.skipped)} images in {self.source} can be used:{first}"
            )


class DecodedPixels:
    """``core.images.Pixels`` of images that a pool of threads decodes from now on.

    What is stored does not depend on the number of threads. An error of a thread is raised by
    whatever waits for its image or a later one; the threads end with this object.

    Args:
      shape: (H, W, C) of each image.
      store: room for all of them.
      source: where they come from, for messages.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        shape: tuple[int, int, int],
        store: Store,
        source: str,
        dtype: np.dtype,
        threads: int | None = None,
    ) -> None:
        threads = min(THREADS, cores()) if threads is None else threads
        digest = hashlib.sha256(f"{dtype.name} {shape}\n".encode())
        self._image = shape
        self._work = _Work(jobs, store, source, digest, _AHEAD * threads)
        weakref.finalize(self, self._work.stop)
        for number in range(min(threads, len(jobs))):
            # Daemons, so that an interrupted process need not wait for a large image.
            threading.Thread(target=self._work.run, name=f"decode-{number}", daemon=True).start()

    def wait(self, count: int) -> int:
        """Wait for ``count`` images, or the last one; how many there are by then."""
        return self._wait(count)

    def facts(self) -> Facts:
        """Wait for the last image.

        Raises:
          DataError: if no image can be used.
        """
        self._wait(None)
        work = self._work
        return Facts(
            names=tuple(work.names),
            labels=np.array(work.labels, np.int32) if work.labels else None,
            sha256=work.digest.hexdigest(),
            skipped=tuple(work.skipped),
        )

    def __len__(self) -> int:
        return self._wait(None)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return len(self), *self._image

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        if isinstance(index, slice):
            step = 1 if index.step is None else index.step
            ahead = step > 0 and index.stop is not None and min(index.start or 0, index.stop) >= 0
            places = range(self._wait(index.stop if ahead else None))[index]
            if places.step == 1 or not places:
                start = places.start if places else 0
                return self._work.store.get(start, start + len(places)).astype(np.float32)
            return self[list(places)]
        if np.ndim(index):
            wanted = np.asarray(index)
            if not wanted.size:
                return self[:0]
            if not np.issubdtype(wanted.dtype, np.integer):
                raise TypeError(f"images are picked by whole numbers, not {wanted.dtype}")
            return np.stack([self[int(place)] for place in wanted])
        place = operator.index(index)  # type: ignore[arg-type]
        count = self._wait(place + 1 if place >= 0 else None)
        if not -count <= place < count:
            raise IndexError(f"image {place} of {count}")
        place %= count
        return self._work.store.get(place, place + 1)[0].astype(np.float32)

    def _wait(self, count: int | None) -> int:
        """The images there are once there are ``count``, or no more will come."""
        work = self._work
        with work.changed:
            work.changed.wait_for(
                lambda: (
                    work.error is not None
                    or work.done
                    or (count is not None and len(work.names) >= count)
                )
            )
            if count is not None and len(work.names) >= count:
                return len(work.names)
            if work.error is not None:
                raise work.error
            return len(work.names)
