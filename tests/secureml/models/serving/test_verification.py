"""A model that fails any check never answers, and nothing in it runs."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import joblib
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused, read_artifact
from secureml.models.card import Card
from secureml.models.serving import verification
from secureml.models.serving.verification import prove
from secureml.models.unpickling.file_inputs import check_reads_no_files


@pytest.fixture
def artifact(shelf):
    return read_artifact(shelf / "models" / "cancer" / "1", "cancer", "1")


@pytest.fixture
def verify_artifact(key):
    return lambda artifact: signature.verify_signature(artifact, [key.public_key()])


@pytest.fixture
def recard(artifact, key):
    """Return the artifact with its card changed by an insider who holds the key."""

    def changed(**values):
        card = replace(Card.from_json(artifact.card_bytes), **values).to_json()
        return replace(
            artifact,
            card_bytes=card,
            signature_bytes=signature.sign(artifact.model_bytes, card, key),
        )

    return changed


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Count how often a data form was read at all."""
    calls, real = [], verification.reader.read
    monkeypatch.setattr(
        verification.reader, "read", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    return calls


def refuse(artifact, *verifiers, extra=frozenset()):
    with pytest.raises(ModelRefused) as refused:
        prove(artifact, verifiers, extra)
    assert refused.value.model == "cancer version 1"
    assert refused.value.fix
    return refused.value


def flip(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_sealed_model_answers(artifact, verify_artifact, cancer):
    handle = prove(artifact, [verify_artifact])

    assert handle.predict(handle.read(cancer.data[:5].tolist())).predictions == (
        cancer.target[:5].tolist()
    )


@pytest.mark.parametrize("part", ["model_bytes", "card_bytes", "signature_bytes"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_one_changed_byte_anywhere_is_refused_before_the_data_form_is_read(
    artifact, verify_artifact, opened, part, share
):
    data = getattr(artifact, part)
    changed = replace(artifact, **{part: flip(data, int(len(data) * share))})

    assert refuse(changed, verify_artifact).check == "signature"
    assert opened == []


def test_without_a_verifier_a_changed_model_still_fails_its_digest(artifact, opened):
    changed = replace(artifact, model_bytes=flip(artifact.model_bytes, 500))

    assert refuse(changed).check == "digest"
    assert opened == []


def test_a_model_that_calls_os_system_is_refused_even_when_sealed_by_the_key(
    artifact, verify_artifact, recard, tmp_path, key
):
    class Bomb:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    model = LogisticRegression()
    model.bomb_ = Bomb()
    joblib.dump(model, tmp_path / "bomb")
    raw = (tmp_path / "bomb").read_bytes()
    bomb = replace(artifact, model_bytes=raw)
    card = replace(
        Card.from_json(artifact.card_bytes),
        digest=bomb.digest,
        globals=(*Card.from_json(artifact.card_bytes).globals, "posix.system"),
    )
    bomb = replace(
        bomb, card_bytes=card.to_json(), signature_bytes=signature.sign(raw, card.to_json(), key)
    )

    refused = refuse(bomb, verify_artifact)
    assert refused.check == "globals"
    assert "posix.system" in refused.message
    assert not (tmp_path / "ran").exists()


def test_a_name_the_card_does_not_list_is_refused_though_scikit_learn_has_it(recard):
    assert refuse(recard(globals=("numpy.dtype",))).check == "globals"


@pytest.mark.parametrize("moved", [{"name": "other"}, {"version": "2"}])
def test_a_card_from_another_folder_is_refused(recard, opened, moved):
    assert refuse(recard(**moved)).check == "card"
    assert opened == []


@pytest.mark.parametrize("library", ["python", "numpy", "scipy", "scikit-learn"])
def test_another_version_of_a_library_is_refused_by_both(artifact, recard, opened, library):
    versions = {**Card.from_json(artifact.card_bytes).versions, library: "0.0.1"}
    refused = refuse(recard(versions=versions))

    assert refused.check == "versions"
    assert f"{library} 0.0.1" in refused.message
    assert verification.versions_here("array")[library] in refused.message
    assert opened == []


def test_a_model_made_with_another_scikit_learn_is_refused(artifact, key):
    at = artifact.model_bytes.index(b"_sklearn_version")
    raw = artifact.model_bytes[:at] + artifact.model_bytes[at:].replace(b"1.9.1", b"1.3.0", 1)
    assert raw != artifact.model_bytes
    foreign = replace(artifact, model_bytes=raw)
    card = replace(Card.from_json(artifact.card_bytes), digest=foreign.digest).to_json()
    refused = refuse(replace(foreign, card_bytes=card))

    assert refused.check == "versions"
    assert "1.3.0" in refused.message


def test_features_that_are_not_the_models_are_refused(artifact, recard):
    features = Card.from_json(artifact.card_bytes).features

    assert refuse(recard(features=features[:-1])).check == "card"


def test_classes_that_are_not_the_models_are_refused(recard):
    assert refuse(recard(classes=(0, 2))).check == "card"
    assert refuse(recard(classes=None)).check == "card"


def test_another_golden_label_is_refused(artifact, recard):
    golden = Card.from_json(artifact.card_bytes).golden
    other = replace(golden, predictions=(1 - golden.predictions[0], *golden.predictions[1:]))

    assert refuse(recard(golden=other)).check == "golden"


def test_another_golden_probability_is_refused(artifact, recard):
    golden = Card.from_json(artifact.card_bytes).golden
    first = (golden.probabilities[0][0] + 1e-6, golden.probabilities[0][1])
    other = replace(golden, probabilities=(first, *golden.probabilities[1:]))

    assert refuse(recard(golden=other)).check == "golden"


def test_golden_rows_the_model_cannot_read_are_refused(artifact, recard):
    golden = Card.from_json(artifact.card_bytes).golden

    assert (
        refuse(recard(golden=replace(golden, rows=(("x",) * 30, *golden.rows[1:])))).check
        == "golden"
    )


def test_probabilities_that_vanished_are_refused(artifact, recard):
    golden = Card.from_json(artifact.card_bytes).golden

    assert refuse(recard(golden=replace(golden, probabilities=None))).check == "golden"


def test_no_signature_is_for_the_verifier_to_judge(artifact, verify_artifact):
    unsigned = replace(artifact, signature_bytes=None)

    assert refuse(unsigned, verify_artifact).check == "signature"
    assert prove(unsigned)


def test_the_first_verifier_that_refuses_ends_it(artifact, opened):
    def never(_):
        raise ModelRefused("signature", "no", "no")

    refuse(artifact, never)
    assert opened == []


def test_a_card_with_one_more_key_is_refused(artifact, opened):
    raw = {**json.loads(artifact.card_bytes), "surplus": 1}

    assert refuse(replace(artifact, card_bytes=json.dumps(raw).encode())).check == "card"
    assert opened == []


def test_a_frame_without_pandas_says_what_to_install(recard, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    refused = refuse(recard(container="frame"))

    assert refused.check == "versions"
    assert "pandas is not installed" in refused.message
    assert "script/extras frames" in refused.fix


@pytest.mark.parametrize("kind", ["filename", "file"])
def test_a_model_that_would_open_files_by_a_clients_text_is_refused(kind):
    pipeline = make_pipeline(TfidfVectorizer(input=kind), LogisticRegression())
    with pytest.raises(ModelRefused, match="opens the files"):
        check_reads_no_files(pipeline)


def test_what_holds_no_estimator_is_refused(artifact):
    card = Card.from_json(artifact.card_bytes)
    for value in ({}, None, [], 3):
        with pytest.raises(ModelRefused, match="not an estimator"):
            verification.check_agreement(card, value)
