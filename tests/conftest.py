"""What several test folders share: the embedded network and images, and the command line."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import absl.logging
import numpy as np
import platformdirs
import psutil
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from reportgen.compose import conf_dir
from tests.drawn import drawn
from tests.models.networks import keras_undrawn

# Several workers compile at once already: XLA's own threads for each program only cost time.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_parallel_codegen_split_count=1")

# Hydra closes every logging handler when it sets logging up, and absl's handler (JAX's libraries
# bring it) closes the stream it was born with: here that is the file pytest captures into.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

# What a shell starts in the background ignores Ctrl-C, and so would the processes that tests
# start in order to interrupt them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LEFT_OUT = ("peer", "browser", "slow")  # marks that a plain run leaves out, by ``addopts``
MARKED = pytest.StashKey[dict[str, int]]()
PEAKS = pytest.StashKey[list[float]]()
ROOM = 3 << 29  # bytes of a worker, above which it lets go of compiled programs


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count what the marks leave out; ``-k`` and the like leave out what a person knows of."""
    for item in items:
        counts = item.config.stash.setdefault(MARKED, {})
        for mark in LEFT_OUT:
            if item.get_closest_marker(mark) is not None:
                counts[mark] = counts.get(mark, 0) + 1
                break


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what only a worker knows to the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(MARKED, {})
        output["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker collects all tests, so that one of them tells for all."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[MARKED] = output.get("left_out", {})
    node.config.stash.setdefault(PEAKS, []).append(output.get("peak", 0.0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One line on what this run left out and how it is run; one on memory."""
    peaks = config.stash.get(PEAKS, [])
    if peaks:
        told = ", ".join(f"{peak:.1f}" for peak in peaks)
        terminalreporter.write_line(f"peak memory of the workers: {told} GB")
    counts = config.stash.get(MARKED, {})
    if counts:
        told = ", ".join(f"{count} {mark}" for mark, count in counts.items())
        terminalreporter.write_line(
            f"LEFT OUT by their marks: {told} tests. All of them: pip install -q "
            "'.[test,peer,browser]' && pytest -m ''",
            yellow=True,
        )


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Results are cached beside the run's temporary folders, not the user's.

    Compiled programs alone are kept between runs, in the user's cache, for all checkouts. They are
    found by their content, JAX's version and the machine, so that none is ever stale.
    """
    from reportgen.engine.compilation_cache import cache_programs

    programs = Path(platformdirs.user_cache_dir("reportgen-tests")) / "xla"
    programs.mkdir(parents=True, exist_ok=True)
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    (shared / "cache" / "reportgen").mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # another worker was first
        (shared / "cache" / "reportgen" / "xla").symlink_to(programs)
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CACHE", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(shared / kind.lower()))
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        cache_programs(programs)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_device() -> None:
    """On all machines alike. What several devices make is compared in processes of their own."""
    import jax

    from reportgen.engine.cpu import divide_cpu

    divide_cpu(1)
    jax.devices()


@pytest.fixture(scope="module", autouse=True)
def _bounded_memory() -> Iterator[None]:
    """A worker that holds much lets go of compiled programs between two files of tests."""
    yield
    if psutil.Process().memory_info().rss > ROOM:
        from reportgen.engine.programs import compiled_program

        compiled_program.cache_clear()  # traced programs stay: models of a whole run hold them
        gc.collect()
        with contextlib.suppress(AttributeError, OSError):  # glibc alone gives memory back
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Compose the configuration with some overrides; what chooses files is composed once.

    Hydra takes longer for that than most networks here take to be opened.
    """

    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}

    @cache
    def of_files(*chosen: str) -> DictConfig:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", list(chosen))

    def make(*overrides: str) -> DictConfig:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        files = [one for one in parsed if one.key_or_group.partition("/")[0] in groups]
        values = [one for one in parsed if one not in files]
        node = deepcopy(of_files(*(one.input_line for one in files)))
        ConfigLoaderImpl._apply_overrides_to_config(values, node)
        return node

    return make


@pytest.fixture(scope="session")
def opened(composed: Callable[..., DictConfig]) -> Callable[..., Any]:
    """A model with its weights, by overrides."""
    from reportgen.config import read
    from reportgen.models.load import load_model, open_network

    def make(*overrides: str) -> Any:
        config = read(composed(*overrides))
        return load_model(open_network(config), config)[0]

    return make


@pytest.fixture(scope="session")
def model_of() -> Callable[..., Any]:
    """A Model of what a factory of one's own returns, with weights by ``drawn``."""
    from reportgen.config import ScoreConfig
    from reportgen.models import factory
    from reportgen.models.load import describe

    def make(
        made: Callable[..., Any],
        spec: Any,
        classes: tuple[str, ...] = (),
        score: str = "logit",
        **more: Any,
    ) -> Any:
        with keras_undrawn() if "keras" in sys.modules else contextlib.nullcontext():
            adapted = factory.adapt_made(factory.calling("test:net", made, {}), spec)
        network = describe(
            adapted,
            spec=spec,
            name="net",
            architecture="test:net",
            classes=classes,
            score=ScoreConfig(kind=score, row=more.pop("row", None), column=more.pop("col", None)),
            **more,
        )
        return network.with_weights(drawn(adapted.shapes))

    return make


@pytest.fixture(scope="session")
def lenet(opened: Callable[..., Any]) -> Any:
    """The embedded LeNet."""
    return opened("model=lenet")


@pytest.fixture(scope="session")
def digits(composed: Callable[..., DictConfig], lenet: Any) -> Any:
    """The embedded images."""
    from reportgen.config import read
    from reportgen.data.load import load_images

    return load_images(read(composed()).data, lenet.spec, lenet.classes, 0)


@pytest.fixture(scope="session")
def numpy_lenet(lenet: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """LeNet by loops over NumPy arrays in float64: input (28, 28, 1) to every layer's output."""
    weights = {name: np.asarray(value, np.float64) for name, value in lenet.parameters.items()}

    def conv(v: np.ndarray, name: str) -> np.ndarray:
        kernel, bias = weights[f"{name}.kernel"], weights[f"{name}.bias"]
        side = v.shape[0] - kernel.shape[0] + 1
        out = np.empty((side, side, kernel.shape[3]))
        for i in range(side):
            for j in range(side):
                window = v[i : i + kernel.shape[0], j : j + kernel.shape[1]]
                out[i, j] = np.tensordot(window, kernel, 3) + bias
        return out

    def pool(v: np.ndarray) -> np.ndarray:
        rows, columns, channels = v.shape
        halved: np.ndarray = v.reshape(rows // 2, 2, columns // 2, 2, channels).max(axis=(1, 3))
        return halved

    def dense(v: np.ndarray, name: str) -> np.ndarray:
        return np.asarray(v @ weights[f"{name}.kernel"] + weights[f"{name}.bias"])

    def run(x: np.ndarray) -> dict[str, np.ndarray]:
        outputs = {"conv1": conv(x, "conv1")}
        outputs["pool1"] = pool(outputs["conv1"])
        outputs["conv2"] = conv(outputs["pool1"], "conv2")
        outputs["pool2"] = pool(outputs["conv2"])
        outputs["ip1"] = dense(outputs["pool2"].reshape(-1), "ip1")
        outputs["relu1"] = np.maximum(outputs["ip1"], 0)
        outputs["ip2"] = dense(outputs["relu1"], "ip2")
        return outputs

    return run


@pytest.fixture(scope="session")
def run_method(lenet: Any, digits: Any, composed: Callable[..., DictConfig]) -> Callable[..., Any]:
    """Run one method as the pipeline does: overrides to its result.

    On the embedded LeNet and images, unless others are given.

    One that tests maps gets ``maps``: what methods have made, or the names of methods to run first,
    which take their own overrides. ``kept`` is where finished work is found.
    """
    from reportgen import running
    from reportgen.chosen import chosen_methods
    from reportgen.config import read
    from reportgen.engine.rows import Engine
    from reportgen.methods.survey import Survey

    def run(
        name: str,
        *overrides: str,
        model: Any = None,
        images: Any = None,
        maps: Sequence[str] | Mapping[str, Any] = ("saliency", "gradcam"),
        kept: Any = None,
    ) -> Any:
        mine = [o for o in overrides if not o.startswith("method.") or f".{name}." in o]
        config = read(composed(f"method={name}", *mine))
        chosen = chosen_methods(config, mine)
        engine = Engine.local(
            config.engine.batch,
            early_ranking=config.engine.early_ranking,
            bfloat16=config.engine.bfloat16,
            kept=kept,
        )
        job = running.prepare(
            name,
            chosen,
            config=config,
            survey=Survey(model or lenet, digits if images is None else images, engine),
        )
        assert job.context is not None
        made: dict[str, Any] = {}
        if job.method.needs_maps:
            made = (
                dict(maps)
                if isinstance(maps, Mapping)
                else {
                    one: run(one, *overrides, model=model, images=images, kept=kept).explained
                    for one in maps
                }
            )
        return job.method.run(replace(job.context, explained=made))

    return run


@pytest.fixture
def reportgen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command line in an empty folder: exit code, output and error stream."""
    from reportgen import cli

    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = cli.run(arguments)
        except SystemExit as done:  # Hydra ends --help and --cfg so
            code = int(done.code or 0)
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run
