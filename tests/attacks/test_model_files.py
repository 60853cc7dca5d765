"""Attack: put another model, or a program dressed as one, where a sealed model lies.

Every attack is made on a real instance folder and judged by `secureml check`. None may run
anything, and each must be told apart by its message, which names the fix.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from secureml import program_log
from secureml.cli.main import main
from secureml.models.artifact import signature
from secureml.models.card import Card
from secureml.models.sealing import packaging
from secureml.models.unpickling.allowlist import builtin_names
from tests.data_forms import convert_here, edited, estimator_of, form_of

CHECKOUT = Path(__file__).parents[2]


def secureml(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "secureml.cli", *words, "--instance", str(folder)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


class Weapon:
    """A pickle that runs a program the moment it is read."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self._canary}'",)


@dataclass
class Target:
    """One version folder, open to an attacker who may write to the disk."""

    folder: Path
    name: str = "flower"

    @property
    def place(self) -> Path:
        return self.folder / "models" / self.name / "1"

    @property
    def canary(self) -> Path:
        return self.folder / "canary"

    def file(self, name: str) -> Path:
        path = self.place / name
        path.chmod(0o600)
        return path

    def change_byte(self, name: str, at: int) -> None:
        content = bytearray(self.file(name).read_bytes())
        content[at] ^= 1
        self.file(name).write_bytes(content)

    def sign(self, key: Any = None, **card: Any) -> None:
        """Seal what lies there as someone would who has the key itself."""
        key = key or signature.read_private_key(self.folder / "keys/model-signing.key")
        model = self.file("model.data").read_bytes()
        old = Card.from_json(self.file("card.json").read_bytes())
        digest = packaging.Artifact("", "", model, b"", None).digest
        new = replace(old, **{"digest": digest, **card}).to_json()
        self.file("card.json").write_bytes(new)
        self.file("signature.json").write_bytes(signature.sign(model, new, key))

    def put(self, estimator: Any) -> None:
        self.file("model.data").write_bytes(form_of(estimator))

    def put_pickle(self, value: Any) -> None:
        joblib.dump(value, self.file("model.data"))


# What a card signed by an insider might grant: everything that is allowed, and the weapon.
GRANTED = tuple(sorted({*builtin_names(), "posix.system"}))


def program(target: Target) -> None:
    target.put_pickle(Weapon(target.canary))
    target.sign(globals=GRANTED)


def program_in_the_form(target: Target) -> None:
    name_of_a_program(target)
    target.sign(globals=GRANTED)


def program_in_the_form_that_the_card_does_not_grant(target: Target) -> None:
    name_of_a_program(target)
    target.sign()


def name_of_a_program(target: Target) -> None:
    def edit(nodes: list[Any]) -> None:
        nodes.insert(0, ["function", "posix.system"])
        nodes[1:] = [_moved(node) for node in nodes[1:]]
        nodes[-1][2]["predict_"] = 0

    form = edited(target.file("model.data").read_bytes(), edit)
    target.file("model.data").write_bytes(form)


def _moved(node: list[Any]) -> list[Any]:
    """Return a node of a small linear model whose references are one further on."""
    if node[0] == "instance":
        state = {key: item + 1 if type(item) is int else item for key, item in node[2].items()}
        return [*node[:2], state]
    return node


def program_in_an_array(target: Target) -> None:
    target.put_pickle(np.array([Weapon(target.canary)], dtype=object))
    target.sign(globals=GRANTED)


def pickle_of_a_program(target: Target) -> None:
    target.put_pickle(Weapon(target.canary))
    target.sign()


def unsigned_program(target: Target) -> None:
    target.put_pickle(Weapon(target.canary))


def other_release(target: Target) -> None:
    here = sklearn.__version__.encode()
    content = target.file("model.data").read_bytes()
    assert here in content
    target.file("model.data").write_bytes(content.replace(here, b"0" + here[1:]))
    target.sign()


def other_card(target: Target) -> None:
    other = replace(target, name="weed")
    for name in ("card.json", "signature.json"):
        shutil.copy(other.file(name), target.file(name))


def other_card_resigned(target: Target) -> None:
    shutil.copy(replace(target, name="weed").file("card.json"), target.file("card.json"))
    target.sign()


def unsigned(target: Target) -> None:
    (target.place / "signature.json").unlink()


def change_signature(target: Target) -> None:
    said = json.loads(target.file("signature.json").read_bytes())
    seal = bytearray(base64.b64decode(said["signature"]))
    seal[10] ^= 1
    said["signature"] = base64.b64encode(seal).decode()
    target.file("signature.json").write_text(json.dumps(said))


def edited_card(target: Target) -> None:
    card = json.loads(target.file("card.json").read_bytes())
    card["features"][0]["maximum"] = 1e9
    text = json.dumps(card, sort_keys=True, separators=(",", ":"))
    target.file("card.json").write_text(text)


def old_card(target: Target) -> None:
    card = Card.from_json(target.file("card.json").read_bytes())
    target.sign(versions={**card.versions, "scikit-learn": "0.24.2"})


def stale_card(target: Target) -> None:
    model = estimator_of(target.file("model.data").read_bytes())
    model.coef_ = model.coef_ * -1
    target.put(model)
    card = Card.from_json(target.file("card.json").read_bytes())
    target.sign(digest=card.digest)


def swapped_answers(target: Target) -> None:
    model = estimator_of(target.file("model.data").read_bytes())
    model.coef_ = model.coef_ * -1
    target.put(model)
    target.sign()


MODEL_CHANGED = "signature: the model file changed after it was signed"
CARD_CHANGED = "signature: the card changed after it was signed"
FORGED = "signature: the signature file was changed or forged"
# The attack, and what its refusal must say.
ATTACKS: dict[str, tuple[Callable[[Target], Any], str]] = {
    "a byte of the model": (lambda t: t.change_byte("model.data", 500), MODEL_CHANGED),
    "a byte of the card": (lambda t: t.change_byte("card.json", 100), CARD_CHANGED),
    "a wider range on the card": (edited_card, CARD_CHANGED),
    "a byte of the signature": (change_signature, FORGED),
    "a byte of the signature's form": (
        lambda t: t.change_byte("signature.json", 0),
        "signature: the signature file cannot be read",
    ),
    "no signature": (unsigned, "signature: the model is not signed"),
    "the signature of a stranger": (
        lambda t: t.sign(signature.generate_key()),
        "signature: it is signed with a key not trusted",
    ),
    "card and signature of another model": (other_card, MODEL_CHANGED),
    "the card of another model, signed": (other_card_resigned, "card: the card is of weed"),
    "a program in place of the model": (unsigned_program, MODEL_CHANGED),
    "a program, signed and allowed by its card": (
        program, "globals: the model file asks for posix.system, which can never be allowed",
    ),
    "a program in the data form, signed and allowed by its card": (
        program_in_the_form,
        "globals: the model file asks for posix.system, which can never be allowed",
    ),
    "a program in the data form, signed": (
        program_in_the_form_that_the_card_does_not_grant,
        "globals: the data form of the model is refused at predict_: posix.system is not allowed",
    ),
    "a pickle in place of the data form, signed": (
        pickle_of_a_program,
        ("format: the data form of the model is refused at the beginning of the file: this is not "
        "the data form of a model"),
    ),
    "a program inside an array of objects, signed": (
        program_in_an_array,
        "globals: the model file asks for posix.system, which can never be allowed",
    ),
    "a model of another scikit-learn": (
        other_release,
        ("versions: the data form of the model is refused at the model: LogisticRegression was "
        "made with scikit-learn 0"),
    ),
    "a card of another scikit-learn": (
        old_card, "versions: it was sealed with scikit-learn 0.24.2",
    ),
    "another model under the old card, signed": (
        stale_card, "digest: the model file is not the one the card describes",
    ),
    "another model under a new card, signed": (
        swapped_answers, "golden: a golden row has another answer",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance folder with two sealed models."""
    folder = tmp_path_factory.mktemp("clean") / "i"
    assert secureml(folder, "init").returncode == 0
    iris = load_iris()
    key = signature.read_private_key(folder / "keys/model-signing.key")
    for name, strength in (("flower", 1.0), ("weed", 0.1)):
        joblib.dump(
            LogisticRegression(C=strength, max_iter=1000).fit(iris.data, iris.target),
            folder / f"{name}.joblib",
        )
        packaging.seal(
            packaging.Order(folder / f"{name}.joblib", name),
            packaging.SealTarget(
                folder / "models", key, lambda: 1_767_225_600.0, convert=convert_here
            ),
        )
    return folder


def check(folder: Path) -> tuple[int, str]:
    """Run `secureml check` here; return its exit code and what it says on stderr."""
    program_log.configure("warning")  # on the real stderr: the one below is gone after the check
    with redirect_stderr(StringIO()) as said, redirect_stdout(StringIO()):
        try:
            main(["check", "--every-model", "--instance", str(folder)])
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


@pytest.mark.parametrize("case", ATTACKS)
def test_the_attack_is_refused_before_anything_runs(clean: Path, tmp_path: Path, case: str) -> None:
    spoil, says = ATTACKS[case]
    target = Target(shutil.copytree(clean, tmp_path / "i"))
    spoil(target)
    code, line = check(target.folder)
    assert not target.canary.exists()
    assert code == 2
    assert line.count("\n") == 1
    assert f"model flower version 1: {says}" in line
    assert "; fix: " in line


def test_the_real_command_says_the_same(clean: Path, tmp_path: Path) -> None:
    target = Target(shutil.copytree(clean, tmp_path / "i"))
    program_in_an_array(target)
    done = secureml(target.folder, "check", "--every-model")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(check(target.folder)[1])
    assert not target.canary.exists()


def test_the_three_kinds_of_attack_and_their_kin_have_messages_of_their_own() -> None:
    kinds = {
        "changed": "a byte of the model",
        "card changed": "a byte of the card",
        "signature changed": "a byte of the signature",
        "not signed": "no signature",
        "another key": "the signature of a stranger",
        "another card": "the card of another model, signed",
        "a program": "a program, signed and allowed by its card",
        "another scikit-learn": "a model of another scikit-learn",
        "another scikit-learn, says the card": "a card of another scikit-learn",
        "another model": "another model under the old card, signed",
        "other answers": "another model under a new card, signed",
    }
    assert len({ATTACKS[case][1] for case in kinds.values()}) == len(kinds)


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: np.array([w], dtype=object)])
def test_the_weapon_is_loaded(tmp_path: Path, wrap: Callable[[Weapon], Any]) -> None:
    canary = tmp_path / "canary"
    joblib.dump(wrap(Weapon(canary)), tmp_path / "weapon.joblib")
    joblib.load(tmp_path / "weapon.joblib")
    assert canary.exists()


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda w: w, []),
        (lambda w: w, ["--allow", "posix.system"]),
        (lambda w: np.array([w], dtype=object), []),
    ],
    ids=["plain", "allowed by name", "inside an array"],
)
def test_a_program_cannot_be_sealed_either(
    clean: Path, tmp_path: Path, wrap: Callable[[Weapon], Any], words: list[str]
) -> None:
    canary = tmp_path / "canary"
    joblib.dump(wrap(Weapon(canary)), tmp_path / "weapon.joblib")
    file = str(tmp_path / "weapon.joblib")
    done = secureml(clean, "models", "seal", file, "--name", "evil", *words)
    assert done.returncode != 0
    assert "posix.system" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not canary.exists()
    assert not (clean / "models/evil").exists()
