"""Which tensor of a file is which parameter of a network, by name alone.

Frameworks differ in three ways: what a layer is called (``Scheme``), what its variables are called
(``conv1.kernel`` or ``conv1.weight``), and what is wrapped around all names when a checkpoint is
saved (``views``). Each way is tried; the one under which most names are found is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

# What training keeps beside the weights; left aside where weights stand next to it.
# fmt: off
TRAINING = frozenset((
    "opt_state", "optimizer", "optimizers", "optimizer_state", "optimizer_state_dict",
    "optimizer_states", "optim", "step", "epoch", "global_step", "iteration", "lr_scheduler",
    "lr_schedulers", "scheduler", "scaler", "amp", "rng", "rngs", "dropout_rng", "key", "args",
    "config", "hyper_parameters", "hparams", "callbacks", "loops", "loss", "metrics", "best_acc1",
    "best_acc", "best_metric", "arch", "version", "metric", "ema", "ema_state", "model_ema",
    "state_dict_ema", "ema_params", "pytorch-lightning_version", "tx", "apply_fn", "extra",
))
# fmt: on
_COLLECTIONS = ("params", "batch_stats")
_WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state", "module", "state", "net")

_SYNONYMS = (
    ("kernel", "depthwise_kernel"),
    ("scale", "gamma"),
    ("bias", "beta"),
    ("mean", "running_mean", "moving_mean"),
    ("var", "running_var", "moving_variance"),
    ("embedding", "embeddings"),
)
_WEIGHT = ("kernel", "depthwise_kernel", "scale", "gamma", "embedding", "embeddings")
# The order in which Keras's layers make their variables.
_ORDER = (
    *("depthwise_kernel", "kernel", "pointwise_kernel", "embedding", "embeddings"),
    *("gamma", "scale", "beta", "bias", "moving_mean", "mean", "moving_variance", "var"),
)

View = Mapping[str, str]


@dataclass(frozen=True)
class Scheme:
    """How one publisher names a network's layers.

    Attributes:
      name: ``own`` for the network's own names.
      prefixes: module (or, for a parameter outside of one, the parameter) to its published name.
      exact: its variables have the network's own names too (``kernel``, not ``weight``).
    """

    name: str
    prefixes: Mapping[str, str]
    exact: bool = False


@dataclass(frozen=True)
class Match:
    """The best reading of a file's names.

    Attributes:
      scheme: its name.
      sources: parameter of the network to the name of its tensor in the file.
      sought: parameter that was not found to the name it was sought under.
      unused: names in the file that no parameter takes and that are neither ignored nor training's.
    """

    scheme: str
    sources: Mapping[str, str]
    sought: Mapping[str, str]
    unused: tuple[str, ...]


def is_statistic(parameter: str) -> bool:
    """True for what a batch normalisation measured in training."""
    leaf = parameter.rpartition(".")[2]
    return any(leaf in group for group in _SYNONYMS if group[0] in ("mean", "var"))


def leaves(leaf: str) -> tuple[str, ...]:
    """What a parameter may be called in a file, the likeliest first."""
    same = next((group for group in _SYNONYMS if leaf in group), (leaf,))
    return (leaf, *(other for other in same if other != leaf), *(["weight"] * (leaf in _WEIGHT)))


def views(names: Iterable[str]) -> Iterator[View]:
    """The names with dots, then with one wrapper after the other taken off.

    Each view maps the shorter name to the file's own.
    """
    view: dict[str, str] = {_dotted(name): name for name in names}
    while True:
        yield view
        shorter = _unwrapped(view)
        if shorter is None:
            return
        view = shorter


def _dotted(name: str) -> str:
    """Caffe's layers have slashes in their names (``fire2/squeeze1x1``)."""
    return name.replace("/", ".")


def wrapped(tops: Iterable[str]) -> tuple[str, ...]:
    """Which of a tree's uppermost names hold the weights, if the others are known not to."""
    names = set(tops)
    if names & {*_COLLECTIONS} and names <= {*_COLLECTIONS, *TRAINING}:
        return _COLLECTIONS
    for wrapper in _WRAPPERS:
        if wrapper in names:
            return (wrapper,) if names - {wrapper} <= TRAINING else ()
    return ()


def _unwrapped(view: View) -> dict[str, str] | None:
    # An nnx state saved as it is has ``.value`` after every name.
    for suffix in (".value", ".raw_value"):
        if all(name.endswith(suffix) for name in view):
            return {name.removesuffix(suffix): source for name, source in view.items()} or None
    tops = {name.partition(".")[0] for name in view}
    keep = tops if len(tops) == 1 else wrapped(tops)
    shorter: dict[str, str] = {}
    for name, source in view.items():
        top, _, rest = name.partition(".")
        if top in keep:
            if not rest or rest in shorter:
                return None
            shorter[rest] = source
    return shorter or None


def match(
    parameters: Sequence[str],
    names: Iterable[str],
    schemes: Mapping[str, Mapping[str, str]],
    ignored: Sequence[str],
    *,
    numbered: bool,
) -> Match:
    """The reading under which most parameters of the network are found.

    Args:
      parameters: the network's, in its order.
      names: the file's.
      schemes: published names of the network's layers by scheme.
      ignored: globs of published names that the network does not have.
      numbered: the last parts of the file's names are places in their layers' lists.
    """
    modules = dict.fromkeys(name.rpartition(".")[0] for name in parameters)
    # A network that has publishers names those that compute the same; a file of another one may
    # have its names of layers all the same (residual networks have), and must not pass as its own.
    own = Scheme("own", {module: module for module in modules}, exact=bool(schemes))
    all_views = list(views(names))
    tried = [(own, view) for view in all_views]
    for name, prefixes in schemes.items():
        dotted = {module: _dotted(prefix) for module, prefix in prefixes.items()}
        tried += [(Scheme(name, dotted), view) for view in all_views]
    # Keras names a layer with or without the models around it: last names will do if they differ.
    last = _single(modules)
    if len(last) == len(modules):
        tails = {".".join(tail): source for tail, source in _single_tails(all_views[0]).items()}
        tried.append((Scheme("own", last, exact=bool(schemes)), tails))
    found = (_read(parameters, view, scheme, ignored, numbered) for scheme, view in tried)
    # Of as many names found the first: max keeps it.
    return max(found, key=lambda match: len(match.sources))


def _single(modules: Iterable[str]) -> dict[str, str]:
    count = Counter(module.rpartition(".")[2] for module in modules)
    last = {module: module.rpartition(".")[2] for module in modules}
    return {module: name for module, name in last.items() if count[name] == 1}


def _single_tails(view: View) -> dict[tuple[str, ...], str]:
    tails: dict[tuple[str, ...], list[str]] = {}
    for name, source in view.items():
        tails.setdefault(tuple(name.split(".")[-2:]), []).append(source)
    return {tail: sources[0] for tail, sources in tails.items() if len(sources) == 1}


def _read(
    parameters: Sequence[str],
    view: View,
    scheme: Scheme,
    ignored: Sequence[str],
    numbered: bool,
) -> Match:
    sought = _sought(parameters, scheme, _counts(view) if numbered else None)
    sources: dict[str, str] = {}
    missing: dict[str, str] = {}
    for parameter, candidates in sought.items():
        name = next((name for name in candidates if name in view), None)
        if name is None:
            missing[parameter] = candidates[0] if candidates else ""
        else:
            sources[parameter] = view[name]
    taken = set(sources.values())
    left = tuple(
        source
        for name, source in view.items()
        if source not in taken and not _ignorable(name, ignored)
    )
    return Match(scheme.name, sources, missing, left)


def _ignorable(name: str, ignored: Sequence[str]) -> bool:
    parts = name.split(".")
    # Random-number state of dropout, and PyTorch's counter of batches, are no weights.
    if parts[-1] == "num_batches_tracked" or "rngs" in parts:
        return True
    return any(fnmatchcase(name, _dotted(pattern)) for pattern in ignored)


def _counts(view: View) -> Counter[str]:
    return Counter(name.rpartition(".")[0] for name in view)


def _sought(
    parameters: Sequence[str], scheme: Scheme, counts: Counter[str] | None
) -> dict[str, list[str]]:
    """Names to look for, for each parameter; none where the scheme does not know its module."""
    of_module: dict[str, list[str]] = {}
    for parameter in parameters:
        module, _, leaf = parameter.rpartition(".")
        of_module.setdefault(module, []).append(leaf)
    sought: dict[str, list[str]] = {}
    for parameter in parameters:
        module, _, leaf = parameter.rpartition(".")
        if parameter in scheme.prefixes:
            sought[parameter] = [scheme.prefixes[parameter]]
            continue
        prefix = scheme.prefixes.get(module)
        if prefix is None or (counts is not None and scheme.exact):
            sought[parameter] = []
        elif counts is None:
            join = "" if not prefix or prefix.endswith("_") else "."
            called = (leaf,) if scheme.exact else leaves(leaf)
            sought[parameter] = [f"{prefix}{join}{name}" for name in called]
        else:
            # By number only where the layer has as many: else each might be another's.
            same = counts[prefix or "vars"] == len(of_module[module])
            place = _in_order(of_module[module]).index(leaf)
            sought[parameter] = [f"{prefix or 'vars'}.{place}"] if same else []
    return sought


def _in_order(own: list[str]) -> list[str]:
    """A module's parameters in the order in which Keras would have made them."""
    return sorted(own, key=_ORDER.index) if set(own) <= set(_ORDER) else own
