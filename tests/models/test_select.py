import pytest

from reportgen.core.errors import ModelError
from reportgen.models.base import LayerInfo
from reportgen.models.select import select_layers

PATHS = {
    "conv1": "conv",
    "pool1": "pool",
    "blocks.0.conv1": "conv",
    "blocks.1.conv1": "conv",
    "blocks.7.conv1": "conv",
    "odd[0]": "dense",
    "head": "dense",
}
LAYERS = [
    LayerInfo(path=path, kind=kind, shape=(1,), parameters=(), flops=0)
    for path, kind in PATHS.items()
]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["all"], list(PATHS)),
        (["head", "conv1"], ["conv1", "head"]),
        (["conv*"], ["conv1"]),
        (["blocks.[0-3].conv1"], ["blocks.0.conv1", "blocks.1.conv1"]),
        (["kind:dense"], ["odd[0]", "head"]),
        (["odd[0]"], ["odd[0]"]),
        (["*conv1", "kind: pool"], [p for p in PATHS if p.endswith(("conv1", "pool1"))]),
    ],
)
def test_paths_globs_and_kinds_in_execution_order(patterns: list[str], expected: list[str]) -> None:
    assert [layer.path for layer in select_layers(LAYERS, patterns)] == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("cnov1", r"No layer matches 'cnov1'.*\nDid you mean conv1.*reportgen layers"),
        ("pol*", r"No layer matches 'pol\*'.*\nDid you mean pool1"),
        ("kind:cnv", r"No layer is of 'kind:cnv'.*\nDid you mean kind:conv"),
    ],
)
def test_a_pattern_that_names_nothing_is_an_error(pattern: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        select_layers(LAYERS, ["conv1", pattern])
