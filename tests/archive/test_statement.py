"""provenance.json is an in-toto statement with SLSA provenance, and tells of every file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reportgen.archive.folder import sha256
from reportgen.archive.statement import STATEMENT, statement, write_statement
from reportgen.core.errors import OutputError

from ..render.sample import HOSTILE
from .making import report, write

# https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and resource_descriptor.md;
# https://slsa.dev/spec/v1.0/provenance. Written by hand from these pages.
_DIGESTS = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "sha256": {"pattern": "^[0-9a-f]{64}$"},
        "gitCommit": {"pattern": "^[0-9a-f]{40}$"},
    },
    "additionalProperties": False,
}
_RESOURCE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "uri": {"type": "string", "pattern": r"^[a-z][a-z0-9+.-]*:[!-~]+$"},
        "digest": _DIGESTS,
        "content": {"type": "string"},
        "downloadLocation": {"type": "string"},
        "mediaType": {"type": "string"},
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}, {"required": ["content"]}],
}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {"allOf": [_RESOURCE, {"required": ["name", "digest"]}]},
        },
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                    "properties": {
                        "buildType": {"type": "string", "pattern": "^[a-z]+:"},
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": _RESOURCE},
                    },
                },
                "runDetails": {
                    "type": "object",
                    "required": ["builder"],
                    "additionalProperties": False,
                    "properties": {
                        "builder": {
                            "type": "object",
                            "required": ["id"],
                            "additionalProperties": False,
                            "properties": {
                                "id": {"type": "string", "pattern": "^[a-z]+:"},
                                "builderDependencies": {"type": "array", "items": _RESOURCE},
                                "version": {"additionalProperties": {"type": "string"}},
                            },
                        },
                        "metadata": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "invocationId": {"type": "string"},
                                "startedOn": _TIME,
                                "finishedOn": _TIME,
                            },
                        },
                        "byproducts": {"type": "array", "items": _RESOURCE},
                    },
                },
            },
        },
    },
}


def read(folder: Path) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not strict JSON")

    data = json.loads((folder / STATEMENT).read_bytes(), parse_constant=refuse)
    jsonschema.validate(data, SCHEMA)
    return data


def test_it_states_every_file_and_what_it_was_made_of(tmp_path: Path) -> None:
    write(report(), tmp_path)
    (tmp_path / "SHA256SUMS").touch()
    data = read(tmp_path)
    stated = {part["name"]: part["digest"]["sha256"] for part in data["subject"]}
    assert list(stated) == ["config.yaml", "report.html", "results.json", "summary.json"]
    assert all(sha256(tmp_path / name) == digest for name, digest in stated.items())
    definition = data["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["config"] == {"seed": 0, "model": {"name": "lenet"}}
    assert definition["internalParameters"] == {"device": "lenet", "seed": 0}
    weights, inputs, code, *packages = definition["resolvedDependencies"]
    assert weights["digest"] == {"sha256": "ab" * 32}
    assert inputs["digest"] == {"sha256": "cd" * 32}
    assert code["digest"] == {"gitCommit": "12" * 20}
    assert code["annotations"] == {"dirty": True}
    assert [package["uri"] for package in packages] == [
        "pkg:pypi/jax@0.8.0",
        "pkg:pypi/flax@0.12.0",
    ]
    run = data["predicate"]["runDetails"]
    assert run["builder"]["version"] == {"reportgen": "0.1.0", "python": "3.11.2"}
    assert "metadata" not in run  # no clock


def test_the_date_is_that_of_the_report(tmp_path: Path) -> None:
    made = report()
    dated = replace(made, provenance=replace(made.provenance, created="2026-11-21T00:00:00Z"))
    write(dated, tmp_path)
    metadata = read(tmp_path)["predicate"]["runDetails"]["metadata"]
    assert metadata == {"finishedOn": "2026-11-21T00:00:00Z"}


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    made = report()
    bare = replace(
        made,
        model=replace(made.model, weights_sha256=""),
        data=replace(made.data, sha256=""),
        provenance=replace(made.provenance, git_commit="", packages={"jax": "missing"}),
    )
    write(bare, tmp_path)
    (tmp_path / "config.yaml").unlink()
    write_statement(bare, tmp_path)
    definition = read(tmp_path)["predicate"]["buildDefinition"]
    assert definition["resolvedDependencies"] == []
    assert definition["externalParameters"]["config"] == {}


def test_hostile_names_and_numbers_are_strict_json(tmp_path: Path) -> None:
    made = report()
    write(made, tmp_path)
    (tmp_path / "config.yaml").write_text("a: .nan\n1: [.inf, 1e-3, 2027-03-31, null, yes]\n")
    for name in HOSTILE:
        worse = replace(
            made,
            command=name,
            model=replace(made.model, weights=name),
            provenance=replace(made.provenance, device=name, packages={name: name}),
        )
        write_statement(worse, tmp_path)
        config = read(tmp_path)["predicate"]["buildDefinition"]["externalParameters"]["config"]
        assert config == {"a": "NaN", "1": ["Infinity", 0.001, "2027-03-31", None, True]}


def test_it_is_written_again_as_it_was(tmp_path: Path) -> None:
    write(report(), tmp_path)
    before = (tmp_path / STATEMENT).read_bytes()
    assert statement(report(), tmp_path) == before


@pytest.mark.parametrize("config", ["a: [", "!!python/object:os.system x", "- : :\n ?"])
def test_a_damaged_config_is_an_error(config: str, tmp_path: Path) -> None:
    write(report(), tmp_path)
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(OutputError, match=r"config\.yaml is damaged"):
        statement(report(), tmp_path)
