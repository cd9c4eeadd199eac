"""Sweeps in several processes give what one process gives, whatever becomes of a process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reportgen import jobs
from reportgen.sweep import write_index

pytestmark = pytest.mark.slow

NET = """
import os, signal, time
from pathlib import Path
from reportgen.models.zoo.lenet import LeNet

class Net(LeNet):
    def __init__(self, *, mode, rngs):
        with Path("seen.txt").open("a") as file:
            print(mode, len(os.sched_getaffinity(0)), file=file)
        if mode == "fail":
            raise ValueError("a planted failure")
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "sleep":
            time.sleep(600)
        super().__init__(rngs=rngs)
"""

# What stands for SLURM: jobs run one after the other in the background, on this machine.
SBATCH = """#!{python}
import os, re, subprocess, sys
text = open(sys.argv[-1]).read()
open("submitted.sh", "w").write(text)
last = int(re.search(r"--array=0-([0-9]+)", text).group(1))
if os.fork() == 0:
    os.setsid()
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    for i in range(last + 1):
        job = dict(SLURM_JOB_ID=f"{{100 + i}}", SLURM_ARRAY_JOB_ID="42", SLURM_ARRAY_TASK_ID=str(i))
        job |= dict(SLURM_NTASKS="1", SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0")
        job |= dict(SLURM_JOB_NUM_NODES="1", SLURM_CPUS_PER_TASK="1")
        subprocess.run(["bash", sys.argv[-1]], env=os.environ | job)
    os._exit(0)
print("Submitted batch job 42")
"""
SRUN = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do case "$1" in --output) shift 2;; *) shift;; esac; done
exec "$@"
"""

ON_ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from reportgen.cli import main
main()
"""

SWEEP = (
    *("-m", "model.factory=net:Net", "method=[weights,saliency]", "method.saliency.count=2"),
    *("layers=conv1", "report.timings=false"),
)
TWO = ("hydra.launcher.n_jobs=2", "hydra.launcher.threads_per_job=1")
MODES = "+model.kwargs.mode="


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of one's own."""
    folder = tmp_path_factory.mktemp("launchers")
    (folder / "net.py").write_text(NET)
    commands = folder / "slurm"
    commands.mkdir()
    (commands / "sbatch").write_text(SBATCH.format(python=sys.executable))
    (commands / "srun").write_text(SRUN)
    (commands / "sacct").write_text("#!/bin/sh\n")
    for path in commands.iterdir():
        path.chmod(0o755)
    return folder


def _start(home: Path, *arguments: str, one_core: bool = False) -> subprocess.Popen[str]:
    path = f"{home / 'slurm'}{os.pathsep}{os.environ['PATH']}"
    program = ["-c", ON_ONE_CORE] if one_core else ["-m", "reportgen"]
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=home,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _sweep(
    home: Path, name: str, modes: str, *more: str, one_core: bool = False
) -> tuple[int, str]:
    chosen = (*SWEEP, MODES + modes, f"hydra.sweep.dir={name}", *more)
    process = _start(home, *chosen, one_core=one_core)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def _job(home: Path, name: str, number: int) -> dict[str, object]:
    job: dict[str, object] = json.loads((home / name / "jobs" / f"{number}.json").read_text())
    return job


def _files(folder: Path) -> dict[str, bytes]:
    """Everything of the sweep but what tells of clocks, and what is kept of its jobs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log.txt" and "jobs" not in path.parts
    }


@pytest.fixture(scope="module")
def serial(home: Path) -> dict[str, bytes]:
    """The sweep in one process, on one core: the number of threads decides how XLA rounds."""
    code, _ = _sweep(home, "serial", "a,fail,b", one_core=True)
    assert code == 2
    return _files(home / "serial")


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_as_in_one_process(launcher: str, home: Path, serial: dict[str, bytes]) -> None:
    """The same folders and bytes; one process is killed, which costs its own job only."""
    (home / "seen.txt").unlink(missing_ok=True)
    code, said = _sweep(home, launcher, "a,fail,b,kill", f"hydra/launcher={launcher}", *TWO)
    assert code == 1
    folder = home / launcher
    killed = _job(home, launcher, 3)
    assert killed["message"] == (
        "The job's process ended before its report was written: it was killed, or ran out of "
        "memory or time. What it printed is in jobs/3.log."
    )
    page = (folder / "index.html").read_text()
    assert "What it printed is in jobs/3.log." in page
    # Without the killed job the page is the serial sweep's.
    order = jobs.all_jobs(folder)
    (folder / "jobs" / "order.json").write_text(json.dumps(order[:3]))
    told = write_index(folder)
    assert _files(folder) == serial
    assert [job.exit_code for job in told] == [0, 2, 0]
    assert "raised ValueError: a planted failure" in told[1].message
    # Each job held to its one core; whole lines on the screen, the rest in the jobs' logs.
    assert set((home / "seen.txt").read_text().split("\n")) == {
        "",
        "a 1",
        "b 1",
        "fail 1",
        "kill 1",
    }
    assert "0_+model.kwargs.mode=a (" in said
    for line in said.splitlines()[1:]:
        assert re.match(r"\d_\S+( \(\d of 4\))?: |Compare model.kwargs|A process was killed", line)
    assert "saliency: 2 images in" in (folder / "jobs" / "2.log").read_text()
    assert {path.suffix for path in folder.glob("jobs/*.*")} == {".json", ".log"}
    assert not list(folder.glob(".*"))  # nothing half-written


def test_an_array_job_of_slurm(home: Path) -> None:
    chosen = ("hydra.launcher.partition=gpu", "hydra.launcher.gpus_per_node=1")
    chosen += ("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=60")
    code, _ = _sweep(home, "slurm-sweep", "a,fail", *chosen)
    assert code == 2
    assert [_job(home, "slurm-sweep", i)["exit_code"] for i in range(2)] == [0, 2]
    assert (home / "slurm-sweep" / "0_+model.kwargs.mode=a" / "report.html").is_file()
    asked = (home / "submitted.sh").read_text().splitlines()
    for option in ("partition=gpu", "gpus-per-node=1", "time=60", "array=0-1%2", "cpus-per-task=4"):
        assert f"#SBATCH --{option}" in asked


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_an_interrupt_ends_the_process(launcher: str, home: Path) -> None:
    name = f"interrupted-{launcher}"
    # The second job does not compose: two processes are meant to be, one is started.
    process = _start(
        *(home, *SWEEP, f"{MODES}sleep", "model=lenet,lenett", f"hydra.sweep.dir={name}"),
        *(f"hydra/launcher={launcher}", *TWO),
    )
    deadline = time.monotonic() + 60
    while not list((home / name).glob(".*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    (running,) = (int(path.read_text()) for path in (home / name / "jobs").glob("*.pid"))
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.endswith("interrupted: nothing was written\n")
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(running, 0)
    assert [path.name for path in (home / name).iterdir()] == ["jobs"]


MISSING = """
import sys
sys.modules[sys.argv.pop(1)] = None
from reportgen.cli import main
main()
"""


@pytest.mark.parametrize(
    ("launcher", "module"),
    [
        ("joblib", "hydra_plugins.hydra_joblib_launcher"),
        ("joblib", "joblib"),
        ("submitit_local", "hydra_plugins.hydra_submitit_launcher"),
    ],
)
def test_a_launcher_that_is_not_installed(launcher: str, module: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        MISSING,
        module,
        "-m",
        "seed=0,1",
        f"hydra/launcher={launcher}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: hydra/launcher={launcher} needs packages that are not installed.\n"
        'Install them: pip install "reportgen[sweep]"\n'
    )
    assert not list(tmp_path.iterdir())
