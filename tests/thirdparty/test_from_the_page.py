"""docs/plugins.md is enough: what it prints is a plugin that runs, tested as it says."""

from __future__ import annotations

import dataclasses
import hmac
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import pytest
from click.testing import CliRunner
from flask import Blueprint, g
from marshmallow import Schema
from marshmallow import fields as plain
from sklearn.linear_model import LinearRegression

from secureml import ConfigError, Host, Plugin, Principal, Problem, Result, requires
from secureml.app import create_app
from secureml.cli.main import CommandContext, secureml
from secureml.kit import fields
from secureml.kit.cards import Section
from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from secureml.pipeline.plugin_class import FORMS
from secureml.testing import Harness

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PAGE = (CHECKOUT / "docs" / "plugins.md").read_text("utf-8")
PLUGIN, CENSUS, PSEUDONYMS, NOTEBOOK, SIGNED, NOISE, TESTS = re.findall(
    r"```python\n(.*?)```", PAGE, re.DOTALL
)
TOML, SIGNED_TOML = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
PRINTED = {
    "acme_hours": PLUGIN,
    "acme_signed": SIGNED,
    "acme_noise": NOISE,
    "acme_census": CENSUS,
    "acme_pseudonyms": PSEUDONYMS,
    "acme_notebook": NOTEBOOK,
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The printed files, in a folder where Python finds them."""
    folder = tmp_path / "package"
    folder.mkdir()
    for name, text in PRINTED.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    (folder / "test_acme_hours.py").write_text(TESTS, "utf-8")
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """A production instance whose settings say what the page adds to them."""
    folder = tmp_path / "instance"
    words = ["init", "--profile", "production", "--host", "ml.example.org"]
    done = CliRunner().invoke(secureml, words, obj=CommandContext(str(folder)))
    assert done.exit_code == 0, done.output
    file = folder / "secureml.toml"
    made = file.read_text("utf-8")
    ours, own = TOML.removeprefix("[secureml]\n").split("\n\n")
    kept, replaced = re.subn(r"plugins = \[.*?\]", ours, made, flags=re.DOTALL)
    assert replaced == 1
    file.write_text(f"{kept}\n{own}\n", "utf-8")
    return folder


@pytest.mark.parametrize("name", PRINTED)
def test_the_plugin_kept_here_is_the_printed_one(name: str) -> None:
    assert (HERE / name / f"{name}.py").read_text("utf-8") == PRINTED[name]


def test_the_page_names_every_field_of_a_principal_and_no_other() -> None:
    table = PAGE.split("### The caller")[1].split("\n### ")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert named == [field.name for field in dataclasses.fields(Principal)]


def test_the_page_names_every_kind_of_field_that_is_ours_and_no_other() -> None:
    (line,) = re.findall(r"^`secureml\.kit\.fields` adds to marshmallow: .*$", PAGE, re.MULTILINE)
    ours = {
        word
        for word, value in vars(fields).items()
        if isinstance(value, type) and issubclass(value, plain.Field) and word[0] != "_"
    }
    assert set(re.findall(r"`([A-Z]\w+)`", line)) == ours
    for word in re.findall(r"`plain\.(\w+)", PAGE):
        assert issubclass(getattr(plain, word), plain.Field)


def test_the_page_names_everything_the_host_lends() -> None:
    table = PAGE.split("## What a plugin gets")[1].split("\n\nOpen no")[0]
    assert set(re.findall(r"`host\.(\w+)", table)) == {f.name for f in dataclasses.fields(Host)}


def test_the_page_names_every_phase_and_extra_as_it_is_called() -> None:
    named = dict(re.findall(r"^\| `(\w+)\(([\w, ]*)\)` \|", PAGE, re.MULTILINE))
    assert named == {
        word: ", ".join(argument.partition(":")[0] for argument in form.arguments)
        for word, form in FORMS.items()
    }


def test_the_printed_list_is_the_one_init_writes_and_the_plugin(instance: Path) -> None:
    fresh = instance.parent / "fresh"
    CliRunner().invoke(secureml, ["init"], obj=CommandContext(str(fresh)))
    made = (fresh / "secureml.toml").read_text("utf-8")
    listed = re.search(r"plugins = \[(.*?)\]", made, re.DOTALL)
    printed = re.search(r"plugins = \[(.*?)\]", TOML, re.DOTALL)
    assert listed is not None
    assert printed is not None
    words = re.findall(r'"(.*?)"', printed[1])
    assert words == [*re.findall(r'"(.*?)"', listed[1]), "acme_hours:OpeningHours"]


# Nginx at the other end of the unix socket has no address.
_SOCKET = {"REMOTE_ADDR": ""}


def _key(instance: Path) -> str:
    """Return a fresh key of a client that may list models."""
    for words in (
        ["clients", "add", "ann", "--scope", "models:read"],
        ["api-keys", "issue", "ann"],
    ):
        done = CliRunner().invoke(secureml, [*words, "--json"], obj=CommandContext(str(instance)))
        assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["key"])


@pytest.mark.usefixtures("package")
def test_a_production_app_starts_with_it_by_its_import_path(instance: Path) -> None:
    night, noon = 1_767_225_600.0, 1_767_268_800.0
    clock = [night]
    caller = create_app(instance, now=lambda: clock[0]).test_client()
    headers = {
        "X-SecureML-Edge": (instance / "keys" / "edge-token").read_text().strip(),
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "ml.example.org",
    }
    words = {"headers": headers, "base_url": "http://ml.example.org", "environ_base": _SOCKET}
    assert caller.get("/healthz", **words).status_code == 200
    refused = caller.get("/v1/models", **words)
    assert refused.status_code == 401, "who nobody knows is not told our hours"
    headers["X-API-Key"] = _key(instance)
    closed = caller.get("/v1/models", **words)
    assert (closed.status_code, closed.json["code"]) == (503, "opening_hours.closed")
    clock[0] = noon
    assert caller.get("/v1/models", **words).json == {"models": []}


@pytest.mark.usefixtures("package")
def test_the_commands_show_it_at_its_phase(instance: Path) -> None:
    done = CliRunner().invoke(secureml, ["phases"], obj=CommandContext(str(instance)))
    assert re.search(r"^LIMIT +rate_limit, opening_hours$", done.output, re.MULTILINE), done.output


def test_the_printed_tests_pass(package: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        [*command, "--rootdir", str(package), "-c", "/dev/null", str(package)],
        cwd=package, env={"PYTHONPATH": f"{CHECKOUT}:{package}"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_printed_code_passes_the_gates_of_the_application(package: Path) -> None:
    tools = Path(sys.executable).parent
    files = [str(path) for path in sorted(package.glob("*.py"))]
    config = str(CHECKOUT / "pyproject.toml")
    # As a file of the tests would be judged: asserts are allowed there, nothing else is.
    gates = [
        [tools / "ruff", "check", "--no-cache", "--config", config, "--ignore", "S101", *files],
        [tools / "ruff", "format", "--no-cache", "--config", config, "--check", *files],
        [tools / "mypy", "--strict", "--config-file", config, "--cache-dir", "/dev/null", *files],
    ]
    for gate in gates:
        done = subprocess.run(
            gate, cwd=CHECKOUT, env={"MYPYPATH": f"{CHECKOUT}:{package}"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


# -- commands and units ---------------------------------------------------------------------------


def _typed(line: str, folder: Path, instance: Path) -> subprocess.CompletedProcess[str]:
    """Type a printed line, with the folders of this test for those of the page."""
    line = line.replace("/opt/acme", str(folder))
    line = line.replace("runuser -u secureml -- ", "")  # here everybody is who we are
    line = re.sub(r"(?<![\w/.-])secureml(?= [a-z])", f"{sys.executable} -m secureml.cli", line)
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=CHECKOUT, text=True, capture_output=True, timeout=120,
        env=os.environ | {"SECUREML_INSTANCE": str(instance)}, check=False,
    )  # fmt: skip


@pytest.mark.usefixtures("package")
def test_the_printed_commands_work_and_without_the_path_they_say_what_is_missing(
    instance: Path, tmp_path: Path
) -> None:
    section = PAGE.split("### Commands and units")[1].split("\n## ")[0]
    (block,) = re.findall(r"```\n(.*?)```", section, re.DOTALL)
    lines = block.splitlines()
    assert len(lines) == 3
    for line in lines:
        done = _typed(line, tmp_path / "package", instance)
        assert (done.returncode, done.stderr) == (0, ""), line
        bare = _typed(re.sub(r"(env )?PYTHONPATH=\S+ ", "", line), tmp_path, instance)
        assert bare.returncode == 2, line
        assert "PYTHONPATH=" in bare.stderr
        assert "Environment=PYTHONPATH=" in bare.stderr
        assert "Traceback" not in bare.stderr


@pytest.mark.parametrize("unit", ["secureml.service", "secureml-signing-keys.service"])
def test_the_units_say_what_to_set(unit: str) -> None:
    (line,) = re.findall(r"```ini\n\[Service\]\n(Environment=PYTHONPATH=\S+)\n```", PAGE)
    text = (CHECKOUT / "deploy" / "systemd" / unit).read_text("utf-8")
    assert f"\n#{line}\n" in text
    assert f"systemctl edit {unit}" in PAGE


# -- who is asking --------------------------------------------------------------------------------

KEY = b"k" * 32
PATH = "/v1/models/m/predict"


@pytest.fixture
def signed(tmp_path: Path, package: Path) -> tuple[Harness, Any]:
    from acme_signed import Signed

    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / "acme").write_bytes(KEY)
    (tmp_path / "keys" / "acme").chmod(0o600)
    harness = Harness(tmp_path)
    harness.clients.add("batch", scopes=["predict"])
    return harness, harness.load(Signed, {"client": "batch", "key": "file:keys/acme"})


def _header(harness: Harness, body: bytes, path: str = PATH, *, late: int = 0) -> str:
    sent = f"{int(harness.clock()) - late}"
    text = f"{sent} POST {path}\n".encode() + body
    return f"{sent}:{hmac.new(KEY, text, 'sha256').hexdigest()}"


def test_who_signed_is_named_and_the_body_is_still_there_for_the_core(
    signed: tuple[Harness, Any],
) -> None:
    harness, loaded = signed
    body = b'{"instances": [[1]]}'
    words: dict[str, Any] = {"data": body, "content_type": "application/json"}
    exchange = harness.exchange(
        "POST", PATH, headers={"X-Signature": _header(harness, body)}, **words
    )
    principal = loaded.plugin.identify(exchange)
    assert (principal.client, principal.method) == ("batch", "signed")
    assert exchange.read_body(1000) == body
    assert loaded.plugin.identify(harness.exchange("POST", PATH, **words)) is None

    views = Blueprint("views", __name__)

    @views.post("/echo")
    @requires("predict", body=Echo)
    def echo() -> dict[str, Any]:
        return {"said": g.exchange.payload["say"]}

    allow = type("Allow", (Plugin,), {"name": "allow", "authorize": lambda self, exchange: None})
    caller = harness.app([loaded, harness.load(allow)], [views]).test_client()
    body = b'{"say": "hello"}'
    headers = {"X-Signature": _header(harness, body, "/echo")}
    answer = caller.post("/echo", data=body, headers=headers, content_type="application/json")
    assert answer.json == {"said": "hello"}
    assert caller.post("/echo", data=body, content_type="application/json").status_code == 401


class Echo(Schema):
    """A body with one text."""

    say = plain.String(required=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[:-1] + "x", "signed.signature"),
        (lambda text: text + "\u00e9", "signed.signature"),
        (lambda text: text.partition(":")[0], "signed.signature"),
        (lambda text: "\u00b2" + text, "signed.form"),
        (lambda text: "9" * 400 + text, "signed.form"),
        (lambda text: ":" + text, "signed.form"),
        (lambda text: "1" + text[1:9] + ":" + text, "signed.time"),
    ],
)
def test_a_signature_that_is_none_is_refused(
    signed: tuple[Harness, Any], change: Any, reason: str
) -> None:
    harness, loaded = signed
    offered = change(_header(harness, b"{}")).encode("latin-1").decode("latin-1")
    exchange = harness.exchange("POST", PATH, data=b"{}", headers={"X-Signature": offered})
    with pytest.raises(Problem) as refused:
        loaded.plugin.identify(exchange)
    assert (refused.value.code, refused.value.reason) == ("unauthorized", reason)


def test_a_signature_is_good_for_its_time_its_client_and_its_size(
    signed: tuple[Harness, Any],
) -> None:
    harness, loaded = signed

    def asked(body: bytes, late: int = 0) -> str:
        header = {"X-Signature": _header(harness, body, late=late)}
        with pytest.raises(Problem) as refused:
            loaded.plugin.identify(harness.exchange("POST", PATH, data=body, headers=header))
        return refused.value.reason

    assert asked(b"", late=61) == "signed.time"
    assert asked(b" " * (64 * 1024 + 1)) == "payload.body_limit"
    harness.clients.set_enabled("batch", enabled=False)
    assert asked(b"") == "signed.client"


# -- a result -------------------------------------------------------------------------------------


def test_a_result_is_made_of_the_one_that_is_given(tmp_path: Path, package: Path) -> None:
    from acme_noise import Noise

    given = Result([1, 0], [[0.3, 0.7], [None, 0.9]], (0, 1))
    shown = [Harness(tmp_path, seed=seed).build(Noise).shape(None, given) for seed in (7, 7, 8)]
    assert shown[0] == shown[1] != shown[2]
    given.check_coarser(shown[0])
    assert given == Result([1, 0], [[0.3, 0.7], [None, 0.9]], (0, 1))
    assert shown[0].probabilities[1] == [None, 1.0]
    assert sum(shown[0].probabilities[0]) == pytest.approx(1, abs=0.02)
    labels = Result([1])
    assert Harness(tmp_path).build(Noise).shape(None, labels) is labels


def test_the_printed_section_is_learned_when_a_model_is_sealed(
    package: Path, tmp_path: Path
) -> None:
    from acme_census import Census

    order = packaging.Order(tmp_path / "m.joblib", "m", tmp_path / "m.csv", "y")
    joblib.dump(LinearRegression().fit([[0.5], [1.5], [2.5]], [0, 1, 2]), order.model_path)
    (tmp_path / "m.csv").write_text("x,y\n0.5,0\n1.5,1\n2.5,2\n")
    target = packaging.SealTarget(
        tmp_path / "models",
        signature.generate_key(),
        time.time,
        sections={"census": Census.card_section},
    )
    card = packaging.seal(order, target).card
    assert card.public()["sections"] == {"census": {"rows": 3}}
    with pytest.raises(ValueError, match="no rows"):
        Census.card_section.check(Section(public={"rows": 0}), card)


def test_what_the_page_warns_of_stops_the_start(tmp_path: Path, package: Path) -> None:
    """In the harness too, as it says."""
    text = NOISE.replace("= host.generator  #", "= host.generator()  #")
    assert text != NOISE
    space: dict[str, Any] = {"__name__": "acme_noise"}
    exec(text, space)
    with pytest.raises(ConfigError, match=r"host\.generator\(\)"):
        Harness(tmp_path).build(space["Noise"])
