"""The command line as a person uses it: what is said, the exit code, what is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hydra._internal.hydra import Hydra

from reportgen.compose import composing_once
from reportgen.embedded import FOLDER
from tests.linear import LINEAR, NOT_FINITE

Run = Callable[..., tuple[int, str, str]]
FAST = ("method=weights", "layers=conv1", "audit=[]")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one method, for tests that only read or copy it."""
    from reportgen import cli

    folder = tmp_path_factory.mktemp("few") / "report"
    assert cli.run([*FAST, f"report.dir={folder}"]) == 0
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=lenett"], "There is no model named 'lenett'.\nDid you mean lenet"),
        (["method=salincy"], "There is no method named 'salincy'.\nDid you mean saliency?"),
        (["method=[weights,salincy]"], "named 'salincy'.\nDid you mean saliency?"),
        (["colormap=virdis"], "There is no colormap named 'virdis'.\nDid you mean viridis"),
        ([*FAST, "colormap.weights=jett"], "'jett'"),
        (["experiment=quik"], "There is no experiment named 'quik'.\nDid you mean quick?"),
        (["method=weights", "layers=conv9"], "No layer matches 'conv9'.\nDid you mean conv1"),
        (
            ["method=weights", "layers=kind:cnv"],
            "No layer is of 'kind:cnv'.\nDid you mean kind:conv",
        ),
        (["method=weights", "layers=pool1"], "pool1 (pool) has no kernel"),
        (["seeed=1"], "There is no key 'seeed'.\nDid you mean seed?"),
        (["data.cout=1"], "There is no key 'cout' under data.\nDid you mean count?"),
        (
            ["method.weights.scal=1"],
            "There is no key 'scal' under method.weights.\nDid you mean scale",
        ),
        (
            ["method=weights", "method.saliency.count=3"],
            "the method 'saliency' is not chosen.\nChoose it too: method=[weights,saliency]",
        ),
        (
            [*FAST, "+method.saliency.count=3"],
            "method.saliency has settings, but the method is not",
        ),
        ([*FAST, "+foo=1"], "foo: there is no such key.\nKnown: model, weights, score"),
        (["method=saliency", "method.saliency.count=abc"], "expected an integer, found 'abc'"),
        (
            ["method=saliency", "method.saliency.opacity=2"],
            "expected less than or equal to 1, found 2",
        ),
        ([*FAST, "seed=-1"], "seed: expected greater than or equal to 0, found -1"),
        ([*FAST, "engine.batch=true"], "engine.batch: expected an integer, found True"),
        (["method=[]"], "No method is chosen."),
        (["-m", "seed=1,2", "--cfg=job"], "--cfg is of one configuration, and -m of several."),
        (["method.weights=3", "method=weights"], "method.weights is 3; it takes keys of its own."),
        (["method=[weights"], "The override method=[weights cannot be read.\nClose every"),
        (['"x'], 'The override "x cannot be read.'),
        *(
            (
                [f"{group}=null"],
                f"{group} is null; it takes the name of one of its options.\nKnown:",
            )
            for group in ("model", "preprocessing", "score", "weights", "method", "data", "archive")
        ),
        (["method=weights", "layers=[]"], "No layer is chosen: layers is empty."),
        (["method=summary", "layers=convx"], "No layer matches 'convx'.\nDid you mean conv1"),
        (["method=summary", "layers="], "No layer matches ''."),
        (
            ["layers", "model=custom"],
            "A value is needed for model.factory, model.input.height, mod",
        ),
        (["layers", "model=custom"], "For example: model.factory=package.module:Network"),
        ([*FAST, "data.path="], "data.path: expected a path, found an empty one."),
        ([*FAST, "weights.path="], "weights.path: expected a path, found an empty one."),
        ([*FAST, "data.files=null"], "data.files: expected a list, found None."),
        ([*FAST, "score.row=1"], "score: row is 1, column is None; expected none with score=logit"),
        ([*FAST, "model.classes=[a,b,a]"], "model: classes has 'a' more than once"),
        ([*FAST, "weights=factory"], "reportgen.models.zoo.lenet:LeNet loads no weights.\nAsk for"),
        (
            ["method=predictions", "score=norm", "data.labels=null"],
            "predictions needs several classes, and score=norm has one score here.",
        ),
        (["method=saliency", "method.saliency.target=12"], "There is no class '12' among 10."),
        ([*FAST, "weights.path=nope.safetensors"], "There is no weights file nope.safetensors."),
        (
            [*FAST, "weights=file"],
            "A value is needed for weights.path.\nFor example: weights.path=",
        ),
        ([*FAST, "data=folder", "data.path=nowhere"], "There is no folder nowhere."),
        ([*FAST, "report.dir=/proc/report"], "cannot be written to /proc/report"),
        (["rendr", "x"], "There is no command 'rendr'.\nDid you mean render?"),
        (["render"], "One folder is expected, found 0."),
        (["render", "nowhere"], "There is no folder nowhere."),
        (["verify", "nowhere"], "There is no folder nowhere."),
        (["layers", "model=lenett"], "Did you mean lenet"),
    ],
)
def test_bad_input_gets_one_clear_message_and_leaves_nothing(
    arguments: list[str], message: str, reportgen: Run, tmp_path: Path
) -> None:
    code, _, err = reportgen(*arguments)
    assert code == 2
    said = re.sub(
        r"^(model and images|weights|saliency|predictions): .*( in .* s|…)\n", "", err, flags=re.M
    )
    assert message in said
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert said.count("error:") == 1
    assert list(tmp_path.rglob("*")) in ([], [tmp_path / "outputs"])


@pytest.mark.parametrize(
    ("argument", "spared"),
    [
        *((argument, True) for argument in ("seed=1", "-m", "hydra.sweep.dir=x", "--cfg=job")),
        *((argument, False) for argument in ("experiment=quick", "+experiment=quick")),
        *((argument, False) for argument in ("hydra.mode=MULTIRUN", "++hydra.mode=MULTIRUN")),
        *((argument, False) for argument in ("hydra.searchpath=[file://x]", "--config-dir", "-cd")),
    ],
)
def test_hydra_looks_for_its_mode_only_where_something_may_set_it(
    argument: str, spared: bool
) -> None:
    asked = Hydra.get_mode
    with composing_once(["model=lenet", argument]):
        assert (Hydra.get_mode is not asked) == spared
    assert Hydra.get_mode is asked


# All methods of the default report, with fewer layers and steps: most of its time goes into
# programs that climb, one for each layer and size.
FEWER = (
    *("layers=[conv2,ip2]", "method.filters.scales=1", "method.filters.steps=2"),
    *("method.class_images.scales=1", "method.class_images.steps=2"),
    *("method.units.first=2", "method.units.synthesis.steps=2"),
)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [(FEWER, 2), pytest.param((), 4, marks=pytest.mark.slow)],
    ids=["of few layers and steps", "as it comes"],
)
def test_one_whole_report_of_all_default_methods(
    arguments: tuple[str, ...], count: int, reportgen: Run, tmp_path: Path
) -> None:
    code, out, err = reportgen(*arguments)
    assert code == 0, err
    (folder,) = (tmp_path / "outputs").iterdir()
    assert re.fullmatch(r"lenet-\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    assert {path.name for path in folder.iterdir()} == {
        *("report.html", "report.pdf", "results.json", "config.yaml", "log.txt", "SHA256SUMS"),
        *("junit.xml", "summary.md", "summary.json", "provenance.json"),
        *("assets", "arrays"),
    }
    assert f"outputs/{folder.name}/report.html" in out
    assert re.search(r"saliency +6 ", out)
    for began, ended in (
        ("weights: …", f"weights: {count} layers in"),
        ("results and pages: …", "HTML, PDF"),
    ):
        assert 0 <= err.index(began) < err.index(ended)
    assert re.search(r"^model and images: 200 images in", err, flags=re.M)
    results = json.loads((folder / "results.json").read_text())
    assert [section["method"] for section in results["sections"]] == [
        *("summary", "predictions", "weights", "activations", "filters", "units", "class_images"),
        *("saliency", "gradcam", "side_by_side"),
    ]
    for section in results["sections"]:
        assert section["blocks"], section["method"]
        assert (section["skipped"], section["failed"]) == ("", "")
    assert {check["outcome"] for check in results["checks"]} == {"passed"}
    assert results["metrics"]["accuracy"] == 0.98
    assert results["provenance"]["seed"] == 0
    assert len(results["model"]["weights_sha256"]) == 64
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    page = (folder / "report.html").read_text()
    for section in results["sections"]:
        assert f">{section['title']}<" in page
    assert reportgen("verify", str(folder))[0] == 0


def test_a_report_is_drawn_again_and_verified(few: Path, reportgen: Run, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    shutil.copytree(few, folder)
    code, out, _ = reportgen("render", str(folder))
    assert (code, out.strip()) == (0, f"{folder}/report.html")
    assert (folder / "SHA256SUMS").read_text() == (few / "SHA256SUMS").read_text()
    assert reportgen("verify", str(folder))[0] == 0
    (folder / "report.html").write_text("changed")
    code, out, err = reportgen("verify", str(folder))
    assert code == 2
    assert "wrong: report.html was changed" in out
    assert "is not what it was" in err


def test_the_same_command_gives_the_same_bytes(
    reportgen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ("method=[weights,saliency]", "layers=conv1", "data.count=8", "report.timings=false")
    for name in ("one", "two"):
        # The other run finds no work that the first has finished.
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / name))
        assert reportgen(*chosen, "audit=[]", f"report.dir={tmp_path / name}")[0] == 0
    sums = [(tmp_path / name / "SHA256SUMS").read_text() for name in ("one", "two")]
    assert sums[0] == sums[1]


def test_the_command_under_a_picture_makes_it_again(reportgen: Run, tmp_path: Path) -> None:
    import shlex

    first = tmp_path / "one"
    several = ("method=[summary,weights]", "seed=4", "audit=[]")
    assert reportgen(*several, f"report.dir={first}")[0] == 0
    montage = json.loads((first / "results.json").read_text())["sections"][1]["blocks"][1]
    assert montage["title"] == "conv2"
    program, *arguments = shlex.split(montage["blocks"][0]["caption"]["override"])
    assert program == "reportgen"
    assert reportgen(*arguments, f"report.dir={tmp_path / 'two'}")[0] == 0
    (section,) = json.loads((tmp_path / "two" / "results.json").read_text())["sections"]
    (again,) = section["blocks"]
    assert {**again, "blocks": None} == {**montage, "blocks": None}
    pictures = [first / "assets", tmp_path / "two" / "assets"]
    names = [path.name for path in pictures[1].glob("weights-conv2-*.webp")]
    assert names
    for name in names:
        assert (pictures[0] / name).read_bytes() == (pictures[1] / name).read_bytes()


def test_random_weights_put_a_banner_on_the_page(reportgen: Run, tmp_path: Path) -> None:
    chosen = (*LINEAR, "weights=random", "data=none", "method=summary", "audit=[]")
    assert reportgen(*chosen, "report.dir=r")[0] == 0
    page = (tmp_path / "r" / "report.html").read_text()
    assert "The weights are random, seed 0: nothing in this report was learned." in page


def test_skipped_images_are_a_finding(reportgen: Run, tmp_path: Path) -> None:
    from PIL import Image

    data = tmp_path / "images"
    data.mkdir()
    Image.new("L", (28, 28)).save(data / "good.png")
    (data / "empty.png").touch()
    folder = tmp_path / "r"
    code, out, _ = reportgen(
        *(*LINEAR, "weights=factory", "method=summary", "audit=[]"),
        *("data=folder", f"data.path={data}", f"report.dir={folder}"),
    )
    assert code == 0
    assert "1 of 2 images were skipped, the first: empty.png (the file is empty)." in out
    results = json.loads((folder / "results.json").read_text())
    assert results["data"]["skipped"] == [["empty.png", "the file is empty"]]
    (finding,) = (one for one in results["findings"] if "were skipped" in one["message"])
    assert finding["severity"] == "warn"


def test_one_score_has_no_classes_to_compare(reportgen: Run, tmp_path: Path) -> None:
    code, _, _ = reportgen(
        *(*LINEAR, "weights=factory", "score=norm", "data.labels=null"),
        "method=[predictions,saliency,class_images]",
        *("method.saliency.count=1", "method.class_images.steps=1", "method.class_images.scales=1"),
        *("audit=[]", "report.dir=r"),
    )
    assert code == 0
    report = json.loads((tmp_path / "r" / "results.json").read_text())
    predictions, saliency, images = report["sections"]
    assert "score=norm has one score" in predictions["skipped"]
    (heatmap,) = saliency["blocks"][0]["blocks"]
    assert [name for name, _ in heatmap["facts"][:2]] == ["explained class", "its logit"]
    text = json.dumps([saliency["blocks"], images["blocks"]])
    assert "probability" not in text
    assert "predicted class" not in text


def test_a_failed_check_is_an_exit_code_of_its_own_and_the_report_is_written(
    reportgen: Run, tmp_path: Path
) -> None:
    code, out, err = reportgen(*NOT_FINITE, "weights=factory", "method=predictions", "report.dir=r")
    assert code == 3
    assert "200 of 200 images give logits that are not finite" in out
    assert "Warning" not in err
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert {f["severity"]: f["message"] for f in results["findings"]}["warn"].startswith(
        "The weights are as tests.linear:NotFinite makes them, and may be random"
    )
    assert results["banners"] == []
    assert reportgen("verify", "r")[0] == 0


def test_what_was_drawn_at_random_is_told_on_the_terminal(reportgen: Run, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"fc.kernel": np.ones((784, 10), "f4")}, tmp_path / "w.safetensors")
    code, out, _ = reportgen(
        *(*LINEAR, "weights.path=w.safetensors", "weights.strict=false", "data=none"),
        *("method=summary", "audit=[]", "report.dir=r"),
    )
    assert code == 0
    assert "1 parameter of the network drawn at random instead: fc.bias." in out


def test_a_method_that_does_not_apply_is_skipped_with_its_reason(
    reportgen: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "r"
    chosen = ("method=[weights,activations]", "layers=pool1", "audit=[]")
    assert reportgen(*chosen, f"report.dir={folder}")[0] == 0
    sections = json.loads((folder / "results.json").read_text())["sections"]
    assert "pool1 (pool) has no kernel" in sections[0]["skipped"]
    assert sections[1]["skipped"] == ""
    assert "pool1 (pool) has no kernel" in (folder / "report.html").read_text()


def test_layers_lists_without_weights(reportgen: Run) -> None:
    code, out, _ = reportgen("layers", "model=digits_cnn", "weights.path=nowhere")
    assert code == 0
    assert re.search(r"conv2 +conv +24 × 24 × 64 .* 18,496 +21,233,664", out)
    assert "1,199,882" in out


def test_the_table_of_layers_is_never_cut(reportgen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a layer, whole, into a file; a narrow screen loses the shapes and no more."""
    from reportgen import terminal

    chosen = ("layers", "model=digits_cnn")
    _, out, _ = reportgen(*chosen)
    wide = next(line for line in out.splitlines() if line.startswith("conv2 "))
    assert wide.split()[-2:] == ["18,496", "21,233,664"]
    assert "bias 64, kernel 3×3×32×64" in wide
    monkeypatch.setattr(terminal.out, "_force_terminal", True)
    monkeypatch.setattr(terminal.out, "width", len(wide) - 1)
    _, out, _ = reportgen(*chosen)
    narrow = next(line for line in out.splitlines() if line.startswith("conv2 "))
    assert narrow.split()[-2:] == ["18,496", "21,233,664"]
    assert "kernel" not in out
    assert "Parameter shapes need a wider screen" in out


def test_what_people_write_is_shown_as_it_is(reportgen: Run, tmp_path: Path) -> None:
    code, _, err = reportgen("data=folder", "data.path='/tmp/:smile:/[bold]x[/bold]'", *FAST)
    assert code == 2
    assert "There is no folder /tmp/:smile:/[bold]x[/bold]." in err


def test_help_version_and_the_composed_configuration(
    reportgen: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra.core.config_store import ConfigStore

    # As in a new process: help does not store all colormaps, which Hydra copies for each group.
    monkeypatch.delitem(ConfigStore.instance().repo, "colormap", raising=False)
    code, out, _ = reportgen("--help")
    assert code == 0
    for part in ("== Examples ==", "method: activations", "reportgen -m", "Exit codes"):
        assert part in out
    code, out, _ = reportgen("--cfg", "job", "method=weights", "layers=conv1")
    assert code == 0
    assert "layers: conv1" in out
    assert re.fullmatch(r"reportgen \d+\.\d+\.\d+\n", reportgen("--version")[1])


def test_shell_completion_offers_options() -> None:
    command = [sys.executable, "-m", "reportgen", "-sc", "query=bash"]
    line = "reportgen model="
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert {"model=lenet", "model=digits_cnn"} <= set(done.stdout.split())


@pytest.mark.slow
def test_doctor_names_what_is_there(reportgen: Run) -> None:
    code, out, _ = reportgen("doctor")
    assert code == 0
    assert "nothing is missing" in out
    for part in ("jax", "typst", "fonts", "compilation cache", "devices"):
        assert part in out


def test_a_sweep_makes_every_combination_and_an_index(reportgen: Run, tmp_path: Path) -> None:
    code, _, _ = reportgen(
        *("-m", "layers=conv1,conv2", "colormap=jet,viridis"),
        *("method=weights", "data=none", "audit=[]"),
    )
    assert code == 0
    (sweep,) = (tmp_path / "outputs").iterdir()
    names = sorted(path.name for path in sweep.iterdir())
    assert names == [
        "0_layers=conv1_colormap=jet",
        "1_layers=conv1_colormap=viridis",
        "2_layers=conv2_colormap=jet",
        "3_layers=conv2_colormap=viridis",
        *("assets", "index.html", "jobs"),
    ]
    page = (sweep / "index.html").read_text()
    for name in names[:4]:
        results = json.loads((sweep / name / "results.json").read_text())
        (layer,) = results["sections"][0]["blocks"]
        assert f"_layers={layer['title']}_colormap={layer['blocks'][0]['colormap']}" in name
        assert f"{quote(name)}/report.html" in page
        assert f"{quote(name)}/assets/thumbnail.png" in page
        assert (sweep / name / "assets" / "thumbnail.png").is_file()


@pytest.mark.slow
def test_a_broken_job_is_listed_and_the_others_run(reportgen: Run, tmp_path: Path) -> None:
    code, _, _ = reportgen(
        "-m", "model=lenett,lenet", "layers=conv1,conv9", "method=predictions", "audit=[]"
    )
    assert code == 2
    (sweep,) = (tmp_path / "outputs").iterdir()
    assert [path.name for path in sweep.iterdir() if (path / "report.html").exists()] == [
        "2_model=lenet_layers=conv1"
    ]
    jobs = [json.loads((sweep / "jobs" / f"{i}.json").read_text()) for i in range(4)]
    assert [job["exit_code"] for job in jobs] == [2, 2, 0, 2]
    assert "Did you mean lenet" in jobs[0]["message"]
    assert "No layer matches 'conv9'" in jobs[3]["message"]
    page = (sweep / "index.html").read_text()
    assert "98 %" in page  # what its report found
    assert page.count("There is no model named &#39;lenett&#39;.") >= 2
    assert "No layer matches &#39;conv9&#39;." in page


def test_a_bug_is_one_line_and_a_traceback_in_the_log(
    reportgen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reportgen.methods.weights import Weights

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a planted bug")

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(Weights, "run", fail)
    code, _, err = reportgen(*FAST)
    assert code == 1
    assert "internal error (this is a bug): ZeroDivisionError: a planted bug." in err
    assert "Traceback" not in err
    (log,) = (tmp_path / "state").rglob("error-*.log")
    assert "in fail" in log.read_text()
    assert list((tmp_path / "outputs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_process_leaves_nothing(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reportgen", "method=[predictions,activations,saliency]"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    # The temporary sibling is there: the run is in the midst of its work.
    while not list(tmp_path.glob("outputs/.*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "interrupted: nothing was written" in err
    assert "Traceback" not in err
    assert list((tmp_path / "outputs").iterdir()) == []


METHOD = """
from typing import ClassVar
from reportgen.core.blocks import Text
from reportgen.core.settings import settings
from reportgen.methods.base import Context, Method, Result

@settings
class Greeting(Method):
    title: ClassVar[str] = "Greeting"
    words: str

    def work(self, context: Context) -> int:
        return 1

    def run(self, context: Context) -> Result:
        return Result(blocks=(Text(text=f"{self.words}, {context.model.name}"),))
"""


def test_another_method_is_one_file_and_one_yaml(reportgen: Run, tmp_path: Path) -> None:
    """A method of the user's own runs beside the shipped ones; no file of reportgen is changed."""
    (tmp_path / "greeting.py").write_text(METHOD)
    (tmp_path / "conf" / "method").mkdir(parents=True)
    (tmp_path / "conf" / "method" / "greeting.yaml").write_text(
        "# @package method.greeting\n_target_: greeting.Greeting\nwords: hello\n"
    )
    code, _, _ = reportgen(
        *("--config-dir", "conf", "method=[weights,greeting]", "layers=conv1", "audit=[]"),
        *("method.greeting.words=good day", "report.dir=r"),
    )
    assert code == 0
    assert "good day, lenet" in (tmp_path / "r" / "report.html").read_text()
    code, _, err = reportgen("--config-dir", "conf", "method=greeting", "method.greeting.wrds=x")
    assert code == 2
    assert "Did you mean words?" in err


def test_a_weights_file_is_enough(reportgen: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes((FOLDER / "lenet.safetensors").read_bytes())
    assert reportgen(*FAST, "weights.path=mine.safetensors", "report.dir=r")[0] == 0
    model = json.loads((tmp_path / "r" / "results.json").read_text())["model"]
    assert "mine.safetensors" in model["weights"]


def test_an_interrupt_that_python_loses_still_ends_the_run(
    reportgen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a callback of the garbage collector, which cannot pass on what it raises."""
    from reportgen.methods.base import Result
    from reportgen.methods.predictions import Predictions

    def lose(*_: Any) -> Any:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        return Result(blocks=())

    monkeypatch.setattr(Predictions, "run", lose)
    code, _, error = reportgen("method=[predictions,weights]", "layers=conv1", "report.dir=out")
    assert code == 2
    assert "interrupted: nothing was written" in error
    assert list(tmp_path.glob("[!s]*")) == []
