"""Attack: make the server fail, and read in its answer what it is made of.

Each answer is searched for exception text, class names, paths and versions; each failure
must be found again, in full, in the log line with the same id.
"""

from __future__ import annotations

import io
import json
import logging
import platform
import re
from pathlib import Path

import flask
import joblib
import numpy as np
import pytest
import sklearn
from flask import Blueprint
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plugins.access_log.plugin import AccessLog
from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.scopes.plugin import Scopes
from plugins.security_headers.plugin import SecurityHeaders
from secureml import Phase, Plugin, Problem, program_log, public
from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from secureml.testing import START, Harness
from tests.data_forms import convert_here

SECRET = "s3cr3t detail of the inside"
PREDICT = "/v1/models/frail/predict"
BODY = json.dumps({"instances": [[1.0, 2.0]]})
# What makes the scaled value overflow: the estimator raises, with a message of its own.
FATAL = json.dumps({"instances": [[0.0, 0.0], [1e308, -1e308]]})
LEAKS = [
    SECRET,
    "s3cr3t",
    "Traceback",
    'File "',
    "line ",
    ".py",
    "Error",
    "Exception",
    "Warning",
    "raised",
    "unexpected",
    "sklearn",
    "scikit",
    "numpy",
    "werkzeug",
    "flask",
    "gunicorn",
    "python",
    "StandardScaler",
    "LogisticRegression",
    "Pipeline",
    "infinity",
    "joblib",
    "/tmp",
    "site-packages",
    str(Path(__file__).parents[2]),
    platform.python_version(),
    sklearn.__version__,
    np.__version__,
    "0x7f",
]


class Frail(Exception):
    """An exception that tells all."""


@pytest.fixture(scope="module")
def frail_models(tmp_path_factory):
    """A real sealed model that answers its golden rows and raises on what it cannot scale."""
    folder = tmp_path_factory.mktemp("frail")
    rows = np.random.default_rng(0).normal(size=(60, 2)) * 1e-3
    estimator = make_pipeline(StandardScaler(), LogisticRegression())
    joblib.dump(estimator.fit(rows, rows[:, 0] > 0), folder / "frail.joblib")
    packaging.seal(
        packaging.Order(folder / "frail.joblib", "frail"),
        packaging.SealTarget(
            folder / "models", signature.generate_key(), lambda: START, convert=convert_here
        ),
    )
    return folder / "models"


@pytest.fixture
def harness(tmp_path, frail_models):
    """A folder with a real store and the model, loaded."""
    (tmp_path / "models").symlink_to(frail_models)
    harness = Harness(tmp_path)
    harness.models.load_all()
    return harness


@pytest.fixture
def program():
    """The program's own log, formatted as the server formats it, into a text of ours."""
    logger = logging.getLogger("secureml")
    before, level = list(logger.handlers), logger.level
    logger.handlers.clear()
    program_log.configure("info")
    (handler,) = logger.handlers
    stream = io.StringIO()
    handler.setStream(stream)
    yield stream
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.fixture
def client_of(harness):
    """Return a function that builds an app with these plugins besides the usual ones."""
    log = harness.load(AccessLog)

    def build(*classes, blueprints=(), without=()):
        usual = [cls for cls in (Anonymous, Scopes, Errors, SecurityHeaders) if cls not in without]
        plugins = [harness.load(cls) for cls in (*classes, *usual)]
        return harness.app([*plugins, log], blueprints).test_client()

    yield build
    log.plugin.close()


def check_terse(answer, status, code="internal_error"):
    """The body is the catalogue's and nothing in the answer tells of the inside."""
    said = f"{answer.status}\n{answer.headers}\n{answer.text}"

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert set(answer.json) <= {"type", "title", "status", "code", "id"}
    assert re.fullmatch(r"[0-9a-f]{32}", answer.json["id"])
    for leak in LEAKS:
        assert leak not in said, leak


def detail(program, answer):
    """Return the ERROR line of the program's log with the answer's id."""
    lines = [json.loads(line) for line in program.getvalue().splitlines()]
    found = [
        line for line in lines if line["level"] == "ERROR" and answer.json["id"] in line["message"]
    ]
    assert found, "no line of the log has the id of the answer"
    return found[0]


def access_line(harness):
    """Return the last line of the access log."""
    return json.loads((harness.folder / "logs/access.log").read_text().splitlines()[-1])


def ask(client, body=BODY):
    """Ask for a prediction."""
    return client.post(PREDICT, data=body, content_type="application/json")


def breaks(plugin, *facts):
    """Fail in whichever phase this stands."""
    raise Frail(SECRET)


def failing_at(phase, *, vital=False):
    """Return a plugin class that fails in one phase."""
    return type("Frailty", (Plugin,), {"name": "frailty", "vital": vital, phase.value: breaks})


def test_the_model_answers_when_nothing_fails(client_of):
    """So that what follows is about failures."""
    assert ask(client_of()).status_code == 200


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_row_the_model_fails_on_is_told_by_its_place_and_no_more(client_of, harness, program):
    """A real estimator's own ValueError, from deep inside scikit-learn, over one row alone."""
    answer = ask(client_of(), FATAL)

    assert answer.json.pop("errors") == [{"path": "/instances/1", "rule": "unanswerable"}]
    said = f"{answer.status}\n{answer.headers}\n{answer.text}"
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_input")
    assert [leak for leak in LEAKS if leak in said] == []
    assert access_line(harness)["reason"] == "model.raised.ValueError"
    assert "Input X contains infinity" in program.getvalue()


@pytest.fixture
def broken(harness, monkeypatch):
    """The model fails on every row, what it was sealed with included."""
    (scaler,) = harness.models.get("frail")._transforms
    monkeypatch.setattr(scaler, "scale_", np.full(2, 5e-324))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.usefixtures("broken")
def test_a_model_that_raises_tells_the_log_and_nobody_else(client_of, harness, program):
    """A real estimator that fails on rows it answered before is a fault of ours."""
    answer = ask(client_of(), FATAL)

    check_terse(answer, 500)
    line = access_line(harness)
    assert (line["id"], line["code"]) == (answer.json["id"], "internal_error")
    assert line["reason"] == "unexpected.ModelFailed"
    assert (line["model"], line["version"]) == ("frail", "1")
    assert "Input X contains infinity" in detail(program, answer)["exc_info"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.usefixtures("broken")
def test_a_model_that_raises_is_as_quiet_without_the_errors_plugin(client_of):
    """Removing a plugin may make us terse, never talkative."""
    answer = ask(client_of(without=[Errors]), FATAL)

    check_terse(answer, 500)
    assert set(answer.json) == {"code", "id"}


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RECORD])
def test_a_plugin_that_raises_tells_the_log_and_nobody_else(client_of, harness, program, phase):
    """In every phase at which an answer depends on it."""
    answer = ask(client_of(failing_at(phase)))

    check_terse(answer, 500)
    assert f"Frail: {SECRET}" in detail(program, answer)["exc_info"]
    assert access_line(harness)["id"] == answer.json["id"]
    assert access_line(harness)["status"] == 500


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.RECORD])
def test_a_plugin_that_raises_is_as_quiet_without_the_errors_plugin(client_of, phase):
    """The bare wording holds nothing that could tell."""
    check_terse(ask(client_of(failing_at(phase), without=[Errors])), 500)


def test_a_vital_record_that_fails_withholds_the_answer_and_its_reason(client_of, program):
    """Unwritten means unanswered, and the caller learns only that."""
    answer = ask(client_of(failing_at(Phase.RECORD, vital=True)))

    check_terse(answer, 503, "not_recorded")
    assert f"Frail: {SECRET}" in detail(program, answer)["exc_info"]


def test_another_record_that_fails_leaves_the_answer_as_it_is(client_of, program):
    """And its failure in the log."""
    answer = ask(client_of(failing_at(Phase.RECORD)))

    assert answer.status_code == 200
    assert "s3cr3t" not in answer.text
    assert SECRET in detail(program, answer)["exc_info"]


def test_a_renderer_that_raises_tells_the_log_and_nobody_else(client_of, program):
    """An error about an error."""
    renderer = type("Wordy", (Plugin,), {"name": "wordy", "render": breaks})
    answer = client_of(renderer, without=[Errors]).get("/nowhere")

    check_terse(answer, 404, "not_found")
    assert SECRET in detail(program, answer)["exc_info"]


def views():
    """Views that fail in the ways views do."""
    blueprint = Blueprint("test", __name__)
    failures = {
        "own": Frail(SECRET),
        "key": KeyError(SECRET),
        "os": FileNotFoundError(2, SECRET, "/etc/x"),
        "assertion": AssertionError(SECRET),
        "memory": MemoryError(SECRET),
        "recursion": RecursionError(SECRET),
        "unicode": UnicodeDecodeError("u", b"s", 0, 1, SECRET),
        "group": ExceptionGroup(SECRET, [Frail(SECRET)]),
    }

    @blueprint.get("/raise/<kind>")
    @public()
    def fail(kind):
        raise failures[kind]

    @blueprint.get("/chained")
    @public()
    def chained():
        try:
            raise Frail(SECRET)
        except Frail as error:
            raise ValueError(SECRET) from error

    @blueprint.get("/unserializable")
    @public()
    def unserializable():
        return {"answer": object()}

    @blueprint.get("/nan")
    @public()
    def nan():
        return {"answer": float("nan")}

    @blueprint.get("/reason")
    @public()
    def reason():
        raise Problem("unavailable", reason=SECRET)

    @blueprint.get("/http/<int:status>")
    @public()
    def http(status):
        flask.abort(status, description=SECRET)

    return blueprint


@pytest.mark.parametrize(
    "path",
    [
        *(
            f"/raise/{kind}"
            for kind in ("own", "key", "os", "assertion", "memory", "recursion", "unicode", "group")
        ),
        "/chained",
        "/unserializable",
        "/nan",
    ],
)
@pytest.mark.parametrize("without", [(), (Errors,)])
def test_a_view_that_raises_tells_the_log_and_nobody_else(
    client_of, harness, program, path, without
):
    """Whatever it raises, and also when its answer cannot be written as strict JSON."""
    answer = client_of(blueprints=[views()], without=without).get(path)

    check_terse(answer, 500)
    assert "Traceback" in detail(program, answer)["exc_info"]
    assert access_line(harness)["reason"].startswith("unexpected.")


def test_a_private_reason_stays_private(client_of, harness):
    """It is in the log line with the id."""
    answer = client_of(blueprints=[views()]).get("/reason")

    check_terse(answer, 503, "unavailable")
    assert (access_line(harness)["id"], access_line(harness)["reason"]) == (
        answer.json["id"],
        SECRET,
    )


@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 418, 429, 500, 503])
def test_werkzeugs_own_words_are_not_passed_on(client_of, status):
    """Neither its page nor the description somebody gave it."""
    answer = client_of(blueprints=[views()]).get(f"/http/{status}")

    assert answer.content_type == "application/problem+json"
    check_terse(answer, answer.status_code, answer.json["code"])
    assert 400 <= answer.status_code < 600


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/../../etc/passwd", b""),
        ("GET", "/v1/models/../../secret", b""),
        ("GET", "/v1/models/frail%00", b""),
        ("GET", "/" + "x" * 5000, b""),
        ("BREW", "/healthz", b""),
        ("POST", PREDICT, b"{"),
        ("POST", PREDICT, b"\xff" * 100),
        ("POST", PREDICT, b'{"instances": [["s3cr3t", 1]]}'),
        ("POST", PREDICT, b'{"instances": [{"s3cr3t": 1}]}'),
        ("POST", PREDICT, b'{"s3cr3t": 1}'),
        ("POST", "/v1/models/s3cr3t/predict", b"{}"),
    ],
)
def test_a_refused_question_is_not_repeated(client_of, method, path, body):
    """Neither the values, nor the unknown names, nor the path."""
    answer = client_of().open(path, method=method, data=body, content_type="application/json")

    assert 400 <= answer.status_code < 500
    assert set(answer.json) <= {"type", "title", "status", "code", "id", "errors"}
    said = f"{answer.headers}\n{answer.text}"
    assert "s3cr3t" not in said
    assert not re.search(r"Traceback|\.py|Error|/tmp|passwd|xxxx", said)


def test_no_answer_names_the_software_that_made_it(client_of):
    """Werkzeug's and Flask's versions are for the operator."""
    answer = ask(client_of())
    said = f"{answer.headers}{answer.text}".lower()

    assert "server" not in {name.lower() for name, _ in answer.headers}
    assert not re.search(rf"werkzeug|flask|sklearn|{re.escape(sklearn.__version__)}", said)
