"""A source of inputs that are made one after another, of which few exist at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

import numpy as np

from reportgen.engine.programs import Rows
from reportgen.engine.rows import IN_FLIGHT


class Replayed:
    """Inputs (H, W, C) as rows for ``Engine.map``.

    Chunks that did not fit into memory are asked for again, so the last ones are kept.
    """

    def __init__(self, inputs: Iterable[np.ndarray]) -> None:
        self._rest = iter(inputs)
        self._kept: deque[np.ndarray] = deque()
        self._first = 0

    def __call__(self, start: int, stop: int) -> Rows:
        while self._first < start - IN_FLIGHT * (stop - start) and self._kept:
            self._kept.popleft()
            self._first += 1
        wanted = max(0, stop - self._first - len(self._kept))
        self._kept.extend(np.asarray(one, np.float32) for one in islice(self._rest, wanted))
        found = list(islice(self._kept, start - self._first, stop - self._first))
        return (np.stack(found) if found else np.zeros(0, np.float32),)
