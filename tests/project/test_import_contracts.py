"""Each import contract in pyproject.toml breaks when someone goes against it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LAYERS, PIPELINE, MODELS, SERVING, CONFINEMENT, STATE, SECRETS = (
    "dependencies point down in the core",
    "inside the pipeline",
    "inside the models",
    "what serves imports nothing that reads a pickle",
    "inside the confinement",
    "inside the state",
    "inside the secrets",
)
NEIGHBOURS, CORE, PUBLIC = (
    "plugins do not import one another",
    "the core imports no plugin",
    "plugins import secureml and secureml.kit only",
)

# What is planted: a file, the line added to it, and the contracts that must then be broken.
VIOLATIONS: dict[str, tuple[str, str, set[str]]] = {
    "a plugin imports its neighbour": (
        "plugins/scopes/plugin.py", "from plugins.api_keys import key", {NEIGHBOURS},
    ),
    "a plugin imports the pipeline": (
        "plugins/scopes/plugin.py", "from secureml.pipeline import pipeline", {PUBLIC},
    ),
    "a plugin imports the store": (
        "plugins/api_keys/key.py", "import secureml.state.store", {PUBLIC},
    ),
    "a plugin imports the settings' schemas": (
        "plugins/api_keys/key.py", "import secureml.settings_schema", {PUBLIC},
    ),
    "the core imports a plugin": (
        "secureml/pipeline/loader.py", "import plugins.api_keys.key", {CORE},
    ),
    "the core imports a plugin inside a function": (
        "secureml/app.py", "def late():\n    import plugins.scopes", {CORE},
    ),
    "a plugin imports what the kit hands on from where it is": (
        "plugins/input_rules/card_section.py", "import secureml.models.card_section", {PUBLIC},
    ),
    "the pipeline imports what the kit hands on": (
        "secureml/pipeline/pipeline.py", "import secureml.kit.description", {LAYERS, PIPELINE},
    ),
    "the models import what the kit hands on": (
        "secureml/models/card.py",
        "from secureml.kit import validation",
        {LAYERS, PIPELINE, MODELS},
    ),
    "the state imports a shared part": (
        "secureml/state/store.py", "import secureml.kit.strict_json", {LAYERS},
    ),
    "a shared part imports the pipeline": (
        "secureml/kit/bearer.py", "import secureml.pipeline.problems", {LAYERS},
    ),
    "a shared part imports what hands on the models": (
        "secureml/kit/output.py", "def late():\n    import secureml.kit.cards", {LAYERS},
    ),
    "the state imports the pipeline": (
        "secureml/state/store.py", "import secureml.pipeline.problems", {LAYERS},
    ),
    "the state imports the models": (
        "secureml/state/scopes.py", "import secureml.models.card", {LAYERS},
    ),
    "the settings import the command line": (
        "secureml/settings.py", "import secureml.cli.main", {LAYERS},
    ),
    "an early module of the pipeline imports a late one": (
        "secureml/pipeline/phases.py", "import secureml.pipeline.pipeline", {PIPELINE},
    ),
    "the table of system calls imports the start of a child": (
        "secureml/confinement/syscall_policy.py", "import secureml.confinement.run", {CONFINEMENT},
    ),
    "reading the body imports the exchange": (
        "secureml/pipeline/body.py", "import secureml.pipeline.exchange", {PIPELINE},
    ),
    "serving reads pickles": (
        "secureml/models/serving/verification.py",
        "from secureml.models.unpickling import reader",
        {SERVING},
    ),
    "reading a model file imports its serving": (
        "secureml/models/unpickling/graph.py", "import secureml.models.serving.registry", {MODELS},
    ),
    "the store imports the clients": (
        "secureml/state/store.py", "import secureml.state.clients", {STATE},
    ),
    "a secret's value imports its source": (
        "secureml/state/secrets/value.py", "import secureml.state.secrets.file", {SECRETS},
    ),
    "a new file of the core that no layer names": ("secureml/misc.py", "", {LAYERS}),
    "a new file of the pipeline that no layer names": ("secureml/pipeline/misc.py", "", {PIPELINE}),
    "a new file of the state that no layer names": ("secureml/state/misc.py", "", {STATE}),
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of the code alone, to plant things in."""
    for package in ("secureml", "plugins"):
        shutil.copytree(
            CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def verdicts(checkout: Path) -> tuple[int, str, dict[str, str]]:
    """Run the linter; return its exit code, its words, and KEPT or BROKEN by contract."""
    linter = Path(sys.prefix, "bin/lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--config", "pyproject.toml"],
        cwd=checkout, capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(checkout)},
    )  # fmt: skip
    lines = [line.rpartition(" ") for line in done.stdout.splitlines()]
    found = {name: word for name, _, word in lines if word in ("KEPT", "BROKEN")}
    return done.returncode, done.stdout + done.stderr, found


def test_the_code_as_it_is_keeps_every_contract(copy: Path) -> None:
    code, words, found = verdicts(copy)
    assert code == 0, words
    every = (
        LAYERS,
        PIPELINE,
        MODELS,
        SERVING,
        CONFINEMENT,
        STATE,
        SECRETS,
        NEIGHBOURS,
        CORE,
        PUBLIC,
    )
    assert found == dict.fromkeys(every, "KEPT")


@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_planted_violation_breaks_the_contract_by_name(copy: Path, case: str) -> None:
    file, line, broken = VIOLATIONS[case]
    with (copy / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    code, words, found = verdicts(copy)
    assert code != 0
    named = {name for name, word in found.items() if word == "BROKEN"}
    assert named == broken, words


def test_every_contract_is_broken_by_something_above() -> None:
    assert set().union(*(broken for _, _, broken in VIOLATIONS.values())) == {
        LAYERS, PIPELINE, MODELS, SERVING, CONFINEMENT, STATE, SECRETS, NEIGHBOURS, CORE, PUBLIC,
    }  # fmt: skip


def contract(name: str) -> dict[str, list[str]]:
    """Return a contract as pyproject.toml writes it."""
    tool = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]
    return next(each for each in tool["importlinter"]["contracts"] if each["name"] == name)


def modules_of(package: str) -> set[str]:
    """Return the modules and packages inside a package of the checkout."""
    found = (CHECKOUT / package).iterdir()
    return {each.stem for each in found if each.suffix == ".py" or (each / "__init__.py").exists()}


def test_each_module_of_the_kit_has_a_layer() -> None:
    """The contract is exhaustive for the core but not for the kit, which is in two layers."""
    layers = [
        part for layer in contract(LAYERS)["layers"] for part in layer.replace("|", ":").split(":")
    ]
    named = {part.strip().removeprefix("kit.") for part in layers if "kit." in part}
    assert named == modules_of("secureml/kit") - {"__init__"}


def test_all_of_the_core_but_the_kit_is_kept_from_plugins() -> None:
    hidden = {each.removeprefix("secureml.") for each in contract(PUBLIC)["protected_modules"]}
    assert hidden == modules_of("secureml") - {"__init__", "kit"}
