"""What a report says of its network, weights and images, before any method has its word."""

from __future__ import annotations

from reportgen.archive.provenance import other_jax
from reportgen.config import Config
from reportgen.core.blocks import Finding
from reportgen.core.images import ImageBatch
from reportgen.core.known_answers import KnownAnswers
from reportgen.core.report import DataCard, ModelCard, Provenance
from reportgen.models.base import Model
from reportgen.models.factory import KERAS_FILE
from reportgen.models.load import Network, Weights
from reportgen.render import numbers


def findings(
    config: Config, network: Network, model: Model, weights: Weights, images: ImageBatch
) -> tuple[Finding, ...]:
    """What a person should know of what was loaded."""
    return (
        *_unseen_layers(network),
        *_weights_of_factory(config),
        *_unfit_weights(weights),
        *_other_channel_order(weights, model),
        *_skipped_images(images),
        *_noted(images),
    )


def wrong_answers(answers: KnownAnswers, made: Provenance) -> tuple[Finding, ...]:
    """What the build of JAX computed wrongly before the report was made."""
    build = f"jax {made.packages['jax']}, jaxlib {made.packages['jaxlib']}, {made.device}"
    return tuple(
        Finding(
            severity="fail",
            check="known_answers",
            message=f"This build of JAX computes wrongly: {one.words} ({build}).",
            where=one.program,
            value=None if one.got is None or one.expected is None else abs(one.got - one.expected),
            threshold=one.tolerance,
            advice="Numbers of this report may be wrong as well: install another version, "
            f"{other_jax()}, and make it again. reportgen doctor compares more programs.",
        )
        for one in answers.wrong
    )


def banners(weights: Weights) -> tuple[str, ...]:
    """Warnings for the head of every page."""
    if weights.random:
        return (f"The weights are {weights.source}: nothing in this report was learned.",)
    if weights.drawn:
        named = ", ".join(weights.drawn[:3]) + (", …" if len(weights.drawn) > 3 else "")
        count = f"{len(weights.drawn)} of the network's parameters"
        return (f"{count} are random, since the weights file does not give them: {named}.",)
    return ()


def model_card(network: Network, model: Model, weights: Weights) -> ModelCard:
    """The network in numbers."""
    spec = model.spec
    mean, std = (", ".join(f"{value:g}" for value in part) for part in (spec.mean, spec.std))
    order = "" if spec.channels == 1 else f", {spec.order.upper()}"
    return ModelCard(
        name=model.name,
        architecture=model.architecture,
        framework=network.adapted.framework,
        evaluation=network.adapted.evaluation,
        layers=len(model.layers),
        parameters=model.parameter_count - model.statistics_count,
        statistics=model.statistics_count,
        flops=model.flops,
        input=f"{spec.height} × {spec.width} × {spec.channels}{order}",
        preprocessing=f"{spec.resizing}; (pixels × {spec.scale:.6g} − [{mean}]) / [{std}]",
        weights=weights.source,
        weights_sha256=weights.sha256,
        weights_random=weights.random,
        scores=model.head.words,
        classes=model.classes,
        weights_problems=weights.problems,
    )


def data_card(images: ImageBatch) -> DataCard:
    """The images that were used."""
    return DataCard(
        source=images.source,
        count=len(images),
        labelled=images.labels is not None,
        sha256=images.sha256,
        skipped=tuple((item.name, item.reason) for item in images.skipped),
        licence=images.licence,
    )


def _unseen_layers(network: Network) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            severity="warn",
            check="model",
            message=f"Layer {path} runs inside of {around}, where its output cannot be seen.",
            where=path,
            value=None,
            advice="Move the call out of it to have the layer in the report.",
        )
        for path, around in network.outline.hidden
    )


def _weights_of_factory(config: Config) -> tuple[Finding, ...]:
    # A saved model is a file that holds its weights.
    if config.weights.source != "factory" or config.model.factory.endswith(KERAS_FILE):
        return ()
    return (
        Finding(
            severity="warn",
            check="weights",
            message=f"The weights are as {config.model.factory} makes them, and may be random: "
            "it cannot be seen whether it loads any.",
            where=config.model.factory,
            value=None,
            advice="If it draws them, say so by weights=random; else give their file by "
            "weights.path=….",
        ),
    )


def _unfit_weights(weights: Weights) -> tuple[Finding, ...]:
    if not weights.problems:
        return ()
    count = len(weights.problems)
    return (
        Finding(
            severity="warn",
            check="weights",
            message=f"{count} tensors of the weights file and the network do not fit each other, "
            f"the first: {weights.problems[0].strip()}.{_drawn(weights)}",
            where=weights.source,
            value=float(count),
            advice="They are listed with the model; weights.strict=true refuses such a file.",
        ),
    )


def _drawn(weights: Weights) -> str:
    if not weights.drawn:
        return ""
    named = ", ".join(weights.drawn[:3]) + (", …" if len(weights.drawn) > 3 else "")
    count = numbers.counted(len(weights.drawn), "parameter")
    return f" {count} of the network drawn at random instead: {named}."


# By whose names a weights file uses: the channel order that networks published there were trained
# with, and the presets that give it.
_CONVENTIONS = {
    "torchvision": ("rgb", "torchvision"),
    "timm": ("rgb", "torchvision or vit"),
    "keras": ("bgr", "keras_caffe"),
    "keras_legacy": ("bgr", "keras_caffe"),
    "caffe": ("bgr", "caffe"),
}


def _other_channel_order(weights: Weights, model: Model) -> tuple[Finding, ...]:
    order, presets = _CONVENTIONS.get(weights.scheme, (model.spec.order, ""))
    if model.spec.channels != 3 or model.spec.order == order:
        return ()
    return (
        Finding(
            severity="warn",
            check="weights",
            message=f"The weights have names of {weights.scheme}, whose networks take "
            f"{order.upper()}; the input is {model.spec.order.upper()}.",
            where=weights.source,
            advice="If they were trained there, choose preprocessing="
            f"{presets}; if by you, on this input, all is well.",
        ),
    )


def _skipped_images(images: ImageBatch) -> tuple[Finding, ...]:
    if not images.skipped:
        return ()
    total = len(images) + len(images.skipped)
    first = images.skipped[0]
    return (
        Finding(
            severity="warn",
            check="data",
            message=f"{len(images.skipped)} of {total} images were skipped, the first: "
            f"{first.name} ({first.reason}).",
            where=images.source,
            value=float(len(images.skipped)),
            advice="They are listed with the data; mend or remove them.",
        ),
    )


def _noted(images: ImageBatch) -> tuple[Finding, ...]:
    return tuple(
        Finding(severity="warn", check="data", message=note, where=images.source)
        for note in images.notes
    )
