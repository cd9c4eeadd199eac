"""What several test folders share: the embedded network and images, and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from reportgen.compose import conf_dir


@pytest.fixture(scope="session", autouse=True)
def _own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled programs are kept beside the run's temporary folders, not the user's."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CACHE", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(shared / kind.lower()))
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        yield


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Compose the configuration with some overrides."""

    def make(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", list(overrides))

    return make


@pytest.fixture(scope="session")
def opened(composed: Callable[..., DictConfig]) -> Callable[..., Any]:
    """A model with its weights, by overrides."""
    from reportgen.config import read
    from reportgen.models.load import load_model, open_network

    def make(*overrides: str) -> Any:
        config = read(composed(*overrides))
        return load_model(open_network(config.model), config.weights, config.seed)[0]

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
