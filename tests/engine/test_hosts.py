"""Two hosts, each a process of its own, make one report together."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reportgen.archive.folder import read_report

pytestmark = pytest.mark.slow

CHOSEN = (
    *("method=[predictions,rise]", "method.rise.masks=32", "method.rise.count=3"),
    "report.timings=false",
)


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_two_hosts_make_the_report_of_one(reportgen: Any, tmp_path: Path) -> None:
    where = f"coordinator: '127.0.0.1:{free_port()}', count: 2"
    hosts = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "reportgen", *CHOSEN, "report.dir=two"),
                *(f"engine.hosts={{{where}, number: {number}}}", "engine.cpu_devices=2"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    outputs = [host.communicate(timeout=240) for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], outputs
    assert "report.html" in outputs[0][0]
    assert "the first host writes the report" in outputs[1][0]
    code, _, error = reportgen(*CHOSEN, "report.dir=one")
    assert code == 0, error
    one, two = (read_report(tmp_path / name) for name in ("one", "two"))
    assert one.metrics == two.metrics
    assert two.provenance.device.startswith("4 × ")
    for mine, theirs in zip(one.sections[1].blocks, two.sections[1].blocks, strict=True):
        expected = mine.blocks[0].map
        np.testing.assert_allclose(
            theirs.blocks[0].map, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max()
        )


def test_a_host_has_a_number(reportgen: Any) -> None:
    code, _, error = reportgen("engine.hosts={coordinator: 'here:1', count: 2, number: 2}")
    assert code == 2
    assert "number is 2; expected 0 to 1" in error
    code, _, error = reportgen("engine.hosts=two")
    assert code == 2
    assert "engine.hosts" in error
