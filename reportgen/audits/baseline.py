"""What a report was compared with, and what stands between the two."""

from __future__ import annotations

from collections.abc import Iterator

from reportgen.audits.pair import Pair
from reportgen.core.blocks import Finding
from reportgen.core.errors import NotApplicableError

_DIGITS = 12  # of a hash, as people read it


def baseline_findings(pair: Pair) -> tuple[Finding, ...]:
    """Which report it is, and a warning where images or seed are not the same."""
    base = pair.base
    told = Finding(
        severity="info",
        check="baseline",
        message=f"Compared with {base.title!r}: {base.model.name}, weights "
        f"{base.model.weights_sha256[:_DIGITS]} ({base.model.weights}).",
        where=base.title,
    )
    return (told, *_other_images(pair), *_other_seed(pair))


def _other_images(pair: Pair) -> Iterator[Finding]:
    try:
        before, after = (len(one.names) for one in pair.measured)
    except NotApplicableError as error:
        yield Finding(severity="info", check="baseline", message=str(error), where=pair.base.title)
        return
    shared = len(pair.shared)
    if shared == before == after:
        return
    yield Finding(
        severity="warn",
        check="baseline",
        message=f"The images are not the baseline's: {shared} of its {before} are among these "
        f"{after}. What is told of images is told of these {shared}.",
        where=pair.candidate.data.source,
        value=float(shared),
        advice="Make both reports of the same images: compare data, data.count and seed in the two "
        "config.yaml.",
    )


def _other_seed(pair: Pair) -> Iterator[Finding]:
    before, after = pair.base.provenance.seed, pair.candidate.provenance.seed
    if before != after:
        yield Finding(
            severity="info",
            check="baseline",
            message=f"The seed is {after}, the baseline's {before}: what is drawn at random "
            "(pictures, noise, controls) is not the same.",
            where="seed",
            value=float(after),
            advice=f"seed={before}",
        )
