"""What a launcher is asked for: how a machine is shared out among jobs, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reportgen import workers
from reportgen.core.errors import ConfigError

Run = Callable[..., tuple[int, str, str]]
Machine = Callable[..., None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/launcher=submitit_slurm"], "and there is no command sbatch here"),
        (
            ["hydra/launcher=jobib"],
            "There is no hydra/launcher named 'jobib'.\nDid you mean joblib?",
        ),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=-1"], "expected 1 or more, found -1"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jbs=2"], "Did you mean n_jobs?"),
    ],
)
def test_what_cannot_be_launched(
    arguments: list[str], message: str, reportgen: Run, tmp_path: Path
) -> None:
    code, _, said = reportgen("-m", "seed=0,1", *arguments)
    assert code == 2
    assert message in said
    assert not list(tmp_path.iterdir())


def test_equal_jobs_run_once(reportgen: Run, tmp_path: Path) -> None:
    chosen = ("method=weights", "layers=conv1", "audit=[]", "hydra.sweep.dir=s")
    assert reportgen("-m", "model=lenet,lenet", *chosen)[0] == 0
    assert len(json.loads((tmp_path / "s" / "jobs" / "order.json").read_text())) == 1


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with so many cores and GPUs."""

    def make(cores: int, gpus: tuple[str, ...] = ()) -> None:
        monkeypatch.setattr(workers, "available_cores", lambda: list(range(cores)))
        found = ("CUDA_VISIBLE_DEVICES" if gpus else "", list(gpus))
        monkeypatch.setattr(workers, "_devices", lambda: found)

    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    return make


@pytest.mark.parametrize(
    ("cores", "n_jobs", "threads", "count", "expected"),
    [
        (16, None, None, 100, [2] * 8),
        (16, None, 4, 100, [4] * 4),
        (16, 3, None, 100, [5] * 3),
        (16, 3, 2, 100, [2] * 3),
        (16, 3, 8, 100, [5] * 3),  # no more cores than there are
        (16, None, None, 2, [8] * 2),  # no more processes than jobs
        (1, None, None, 100, [1]),
    ],
)
def test_cores_are_shared_out(
    machine: Machine,
    cores: int,
    n_jobs: int | None,
    threads: int | None,
    count: int,
    expected: list[int],
) -> None:
    machine(cores)
    slots = workers.slots(n_jobs, threads, count)
    assert [len(slot.cores) for slot in slots] == expected
    taken = [core for slot in slots for core in slot.cores]
    assert len(set(taken)) == len(taken)
    assert {core for core in taken if not 0 <= core < cores} == set()
    assert all(slot.environment == {} for slot in slots)


def test_each_process_has_its_own_gpu(machine: Machine) -> None:
    machine(16, ("4", "5"))
    first, second = workers.slots(None, None, 100)
    assert first.environment == {"CUDA_VISIBLE_DEVICES": "4"}
    assert second.environment == {"CUDA_VISIBLE_DEVICES": "5"}
    assert (first.cores, second.cores) == (tuple(range(8)), tuple(range(8, 16)))


def test_processes_that_share_a_gpu_share_its_memory(machine: Machine) -> None:
    machine(4, ("0",))
    first, second = workers.slots(2, None, 100)
    assert first.environment == second.environment
    assert first.environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.375"


def test_slots_do_not_need_more_than_there_is(machine: Machine) -> None:
    machine(2)
    with pytest.raises(ConfigError, match="threads_per_job: expected 1 or more, found 0"):
        workers.slots(None, 0, 1)
