"""The bill of materials: of this environment, and of two sealed versions of a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import Distribution, version
from pathlib import Path

import pytest

from secureml.cli.sbom import document

VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(error and str(error))
"""


class Package(Distribution):
    """A package that says of itself what a test wants."""

    def __init__(self, text):
        self._text = text

    def read_text(self, filename):
        return self._text if filename == "METADATA" else None

    def locate_file(self, path):
        raise NotImplementedError


def packages(*lines):
    return [
        Package("Metadata-Version: 2.4\nName: Some_Thing\nVersion: 1.0+cpu\n" + "\n".join(lines))
    ]


def library(*lines):
    (found,) = document("0.1.0", "3.11.7", packages(*lines), [])["components"][1:]
    return found


@pytest.fixture
def listed(versions, type_command):
    said = type_command("sbom", "--instance", versions)
    assert said.code == 0, said.err
    return json.loads(said.out)


def test_each_sealed_version_is_a_model_with_its_digest_and_libraries(listed, run_models):
    models = [component for component in listed["components"] if component["name"] == "number"]
    assert [model["version"] for model in models] == ["1", "2"]
    assert {model["type"] for model in models} == {"machine-learning-model"}
    shown = run_models("show", "number@2")
    assert models[1]["hashes"] == [{"alg": "SHA-256", "content": shown["digest"]}]
    needs = {entry["ref"]: entry["dependsOn"] for entry in listed["dependencies"]}
    assert f"pkg:pypi/numpy@{version('numpy')}" in needs["model/number@2"]
    assert "model/number@2" in needs[listed["metadata"]["component"]["bom-ref"]]
    said = [{entry["name"]: entry["value"] for entry in model["properties"]} for model in models]
    assert [facts["secureml:in-use"] for facts in said].count("true") == 1


def test_every_package_that_is_installed_is_a_library(listed):
    purls = {component.get("purl") for component in listed["components"]}
    assert f"pkg:pypi/flask@{version('flask')}" in purls
    assert len(purls) > 20


def test_what_has_not_changed_is_listed_alike(listed, versions, type_command):
    assert json.loads(type_command("sbom", "--instance", versions, "--json").out) == listed


def test_attack_a_model_that_was_changed_is_not_listed(versions, type_command):
    card = versions / "models" / "number" / "1" / "card.json"
    card.write_bytes(card.read_bytes().replace(b'"number"', b'"other!"'))
    said = type_command("sbom", "--instance", versions)
    assert said.code != 0
    assert "model number version 1: signature: " in said.err
    assert "fix: " in said.err


def test_without_an_instance_packages_are_listed_all_the_same(tmp_path, type_command):
    said = type_command("sbom", "--instance", tmp_path / "none")
    assert said.code == 0, said.err
    assert "machine-learning-model" not in said.out


def test_a_name_has_one_spelling_and_a_version_no_plus():
    assert library()["purl"] == "pkg:pypi/some-thing@1.0%2Bcpu"


@pytest.mark.parametrize(
    ("lines", "licences"),
    [
        (["License-Expression: MIT", "License: other"], [{"expression": "MIT"}]),
        (["License: MIT", "Classifier: License :: OSI Approved :: BSD License"],
         [{"license": {"name": "BSD License"}}]),
        (["License: Apache 2"], [{"license": {"name": "Apache 2"}}]),
    ],
)  # fmt: skip
def test_a_licence_is_what_a_package_says_in_the_newest_way(lines, licences):
    assert library(*lines)["licenses"] == licences


def test_a_licence_in_full_is_no_name():
    assert "licenses" not in library("License: Permission is hereby\n        granted, free")
    assert "licenses" not in library()


def test_it_is_valid_by_the_schema_of_cyclonedx(listed):
    python = Path(sys.prefix) / "audit" / "bin" / "python"
    if not python.exists():
        missing = "cyclonedx-python-lib is missing; run script/test once, which installs it"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    done = subprocess.run(
        [python, "-c", VALIDATE], input=json.dumps(listed), capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
