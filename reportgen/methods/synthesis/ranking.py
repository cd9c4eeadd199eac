"""Early ranking: who will not be drawn is not climbed to the end.

Where the best n x n of many units are drawn, most of the time goes into the last, large sizes, and
the order by loss is nearly settled long before. So all climb the first sizes, and fewer and fewer
the others: generously early, strictly late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

# After the first size by which so large a share of a whole ascent is spent, so many times those
# that are wanted go on, and one more. On units of SqueezeNet's eighth fire module over Keras's nine
# sizes, the pictures that are drawn of eight times as many units then cost a fifth to a sixth of a
# full run, and about 95 % of them are the same.
_KEEPS = (
    (0.012, 4.0),
    (0.035, 2.5),
    (0.065, 2.0),
    (0.11, 1.6),
    (0.18, 1.35),
    (0.28, 1.12),
    (0.42, 1.05),
)


class Cut(NamedTuple):
    """After so many sizes so many units go on."""

    after: int
    keep: int


def cuts(sides: Sequence[int], wanted: int, count: int) -> tuple[Cut, ...]:
    """Where some of ``count`` units are left behind.

    Args:
      sides: of the pictures at the sizes that are climbed, in pixels.
    """
    spent = np.cumsum(np.square(np.asarray(sides, float)))
    found: list[Cut] = []
    for share, times in _KEEPS:
        after = int(np.argmax(spent >= share * spent[-1])) + 1
        keep = round(times * wanted) + 1
        left, last = (found[-1].keep, found[-1].after) if found else (count, 0)
        if last < after < len(sides) and keep < left:
            found.append(Cut(after, keep))
    return tuple(found)


class _Passed(NamedTuple):
    """What a cut saw: numbers of units and their losses."""

    cut: Cut
    units: np.ndarray
    loss: np.ndarray


@dataclass
class Ranking:
    """Decides at cuts who goes on, and remembers what it saw.

    Attributes:
      wanted: how many will be drawn.
      check: let all go on, to see who would have been missed.
    """

    cuts: tuple[Cut, ...]
    wanted: int
    check: bool = False
    _passed: list[_Passed] = field(default_factory=list)

    def keeps(self, after: int, units: np.ndarray, loss: np.ndarray) -> np.ndarray:
        """Which of the units (N,), numbers, go on after so many sizes; in their order."""
        cut = next((cut for cut in self.cuts if cut.after == after), None)
        if cut is None:
            return units
        self._passed.append(_Passed(cut, units, loss))
        return units if self.check else units[_best(loss, cut.keep)]

    def told(self, units: np.ndarray, loss: np.ndarray, sizes: int) -> list[str]:
        """Lines for the log, once the units that climbed to the end have their losses."""
        drawn = units[_best(loss, self.wanted)]
        if self.check:
            share = np.isin(drawn, self._survivors(units, loss)).mean() if len(drawn) else 1.0
            return [
                f"early ranking would draw {round(share * len(drawn))} of the same {len(drawn)} "
                f"filters as this full run ({100 * share:.0f} %)"
            ]
        lines = []
        for cut, seen, losses in self._passed:
            places = np.flatnonzero(np.isin(seen[np.argsort(-losses, kind="stable")], drawn))
            last = int(places.max()) + 1 if len(places) else 0
            lines.append(
                f"early ranking: after {cut.after} of {sizes} sizes "
                f"{min(cut.keep, len(seen))} of {len(seen)} filters went on; "
                f"those drawn were among the first {last}"
            )
        return lines

    def _survivors(self, units: np.ndarray, loss: np.ndarray) -> np.ndarray:
        """Who would have been drawn, had the cuts been made."""
        left = units
        for cut, seen, losses in self._passed:
            mine = np.isin(seen, left)
            left = seen[mine][_best(losses[mine], cut.keep)]
        mine = np.isin(units, left)
        return np.asarray(units[mine][_best(loss[mine], self.wanted)])


def _best(loss: np.ndarray, count: int) -> np.ndarray:
    """Places of the highest losses, in their own order; of equal ones the first."""
    return np.sort(np.argsort(-loss, kind="stable")[:count])
