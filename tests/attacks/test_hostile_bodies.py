"""Attack: bodies that break servers elsewhere, through the whole application.

Each is answered or refused with a code of ours, never with a 5xx, tells nothing back that was
sent, and leaves no memory behind.
"""

from __future__ import annotations

import gc
import json
import os
import tracemalloc
from pathlib import Path

import joblib
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from plugins.anonymous.plugin import Anonymous
from plugins.errors.plugin import Errors
from plugins.input_rules.plugin import InputRules
from plugins.input_rules.text import clean
from plugins.output_rules.plugin import OutputRules
from plugins.scopes.plugin import Scopes
from secureml.testing import Harness
from tests.corpora import JSON, NO_JSON
from tests.made_models import seal_file
from tests.naughty import NAUGHTY

needs_corpus = pytest.mark.skipif(JSON is None, reason=NO_JSON)
PREDICT = "/v1/models/notes/predict"
RULES = """
[[rules]]
name = "short"
rule = "length(note) <= 4000"
action = "flag"

[[rules]]
name = "explained"
rule = 'if grade > 5 then note present'
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A model of a number, a category and a text, with rules, behind the usual phases."""
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    folder = tmp_path_factory.mktemp("notes")
    notes = [f"note {n} of many" for n in range(300)]
    frame = pandas.DataFrame(
        {"grade": [n % 10 + 0.5 for n in range(300)], "kind": ["x", "y"] * 150, "note": notes}
    )
    keep = ColumnTransformer([("grade", "passthrough", ["grade"])])
    model = make_pipeline(keep, DummyClassifier()).fit(frame, [0, 1] * 150)
    joblib.dump(model, folder / "notes.joblib")
    frame.to_csv(folder / "notes.csv", index=False)
    (folder / "rules.toml").write_text(RULES)
    seal_file(
        folder / "notes.joblib",
        folder / "models",
        name="notes",
        data=folder / "notes.csv",
        rules=folder / "rules.toml",
        strict=True,
    )
    harness = Harness(folder)
    harness.models.load_all()
    plugins = [Anonymous, Scopes, InputRules, OutputRules, Errors]
    return harness.app([harness.load(cls) for cls in plugins]).test_client()


def post(client, body):
    """Send bytes or a value, and hold the answer to what every answer keeps."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(PREDICT, data=data, content_type="application/json")
    assert answer.status_code in (200, 400, 413, 422), answer.text
    assert (answer.status_code == 200) is ("predictions" in answer.json)
    return answer


def row(**values):
    return {"grade": 1.5, "kind": "x", "note": "fine"} | values


@pytest.mark.parametrize("word", NAUGHTY, ids=range(len(NAUGHTY)))
def test_a_naughty_string_is_text_where_text_is_asked_for_and_refused_elsewhere(client, word):
    """As a text, a category, a number, a name, an envelope's key, and the whole body."""
    answer = post(client, {"instances": [row(note=word)]})
    assert answer.status_code == 200
    dirty = clean(word) != word
    emitted = {warning["rule"] for warning in answer.json.get("warnings", [])}
    assert emitted == {"control_characters"} & ({"control_characters"} if dirty else set()) | (
        {"rule:short"} if len(clean(word)) > 4000 else set()
    )

    refused = [
        {"instances": [row(kind=word)]},
        {"instances": [row(grade=word)]},
        {"instances": [{word: 1}]},
        {"instances": [{**row(), f"{word}!": 1}]},
        {"instances": [[word, word, word]]},
        {"instances": word},
        {"instances": [row()], f"{word}!": 1},
        word,
        word.encode("utf-8", "surrogatepass"),
    ]
    for body in refused:
        answer = post(client, body)
        assert answer.status_code != 200
        if len(word) > 3:
            assert json.dumps(word)[1:-1] not in answer.text.replace("/instances/0", "")


@needs_corpus
def test_no_file_of_the_corpus_is_answered_or_breaks_the_server(client):
    """Broken JSON is a 400; sound JSON is not a question of this model's, hence 422."""
    files = sorted(JSON.glob("*.json"))
    wrong = []
    for file in files:
        status = post(client, file.read_bytes()).status_code
        if status == 200 or (file.name.startswith("n_") and status != 400):
            wrong.append((file.name, status))
    assert len(files) > 250
    assert wrong == []


@needs_corpus
def test_sound_json_of_the_corpus_is_read_where_a_text_stands(client):
    """Strings of the corpus arrive as the text they are, or are refused as no text."""
    for file in sorted(JSON.glob("y_*.json")):
        body = b'{"instances": [[1.5, "x", ' + file.read_bytes().strip() + b"]]}"
        expected = {200} if isinstance(json.loads(file.read_bytes()), str) else {400, 422}
        assert post(client, body).status_code in expected, file.name


def hostile():
    """Return a body of every kind that is refused or clipped somewhere."""
    words = [{"instances": [row(note=word)] * 3} for word in NAUGHTY]
    values = [None, True, -1e308, 10**300, "1", [], {}, 7]
    cells = [{"instances": [row(grade=value)] * 30} for value in values]
    raw = [b"[" * 5000, b'{"a":1,"a":2}', b"NaN", b"\xff" * 99, b'"\\ud800"', b"", b"{}" * 9]
    return [json.dumps(body).encode() for body in words + cells] + raw


def resident():
    """Return this process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_thousands_of_hostile_bodies_leave_no_memory_behind(client):
    """Neither what Python allocated nor what the process holds grows with their number."""
    bodies = hostile()

    def send(times):
        for _ in range(times):
            for body in bodies:
                post(client, body)
        gc.collect()

    send(3)
    tracemalloc.start()
    try:
        send(2)
        traced, held = tracemalloc.get_traced_memory()[0], resident()
        send(15)
        # A body kept from each request would be several megabytes; other threads take some too.
        assert tracemalloc.get_traced_memory()[0] - traced < 1024 * 1024
        assert resident() - held < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert len(bodies) * 15 > 2000
