from __future__ import annotations

import pickle

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.registry import Registry

ROWS, ANSWERS = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]


@pytest.fixture
def two(seal, tmp_path):
    """Return a registry of two versions of one model."""
    for strength in (1.0, 10.0):
        seal(LogisticRegression(C=strength).fit(ROWS, ANSWERS))
    return Registry(tmp_path / "models")


def test_the_current_version_of_every_name_is_loaded(two, seal):
    seal(LogisticRegression().fit(ROWS, ANSWERS), "other")
    assert two.names() == []
    two.load_all()

    assert two.names() == two.names_on_disk() == ["model", "other"]
    assert two.get("model").version == "1"
    assert two.get("absent") is None


def test_no_loader_of_pickles_has_a_part_in_loading_and_answering(two, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a pickle was read")

    for module in (pickle, joblib, joblib.numpy_pickle, joblib.numpy_pickle_compat):
        for name in ("load", "loads", "_load", "_loads", "Unpickler", "_Unpickler"):
            monkeypatch.setattr(module, name, never, raising=False)
    monkeypatch.setattr(joblib.numpy_pickle, "NumpyUnpickler", never)
    monkeypatch.setattr("secureml.models.unpickling.reader._Reader", never)
    two.load_all()
    model = two.get("model")

    assert model.predict(model.read([[0.0], [3.0]])).predictions == [0, 1]


def test_no_folder_means_no_models(tmp_path):
    registry = Registry(tmp_path / "absent")
    registry.load_all()

    assert registry.names() == registry.names_on_disk() == []


def test_use_points_and_rollback_swaps_back_and_forth(two):
    two.use("model", "2")
    assert two.current("model") == "2"
    assert two.rollback("model") == two.current("model") == "1"
    assert two.rollback("model") == two.current("model") == "2"
    two.load_all()

    assert two.get("model").version == "2"


def test_using_the_version_in_use_keeps_the_way_back(two):
    two.use("model", "2")
    two.use("model", "2")

    assert two.rollback("model") == "1"


def test_what_serves_does_not_change_until_it_is_loaded_again(two):
    two.load_all()
    two.use("model", "2")

    assert two.get("model").version == "1"


def test_nothing_before_means_no_way_back(two):
    with pytest.raises(ModelRefused, match="no earlier version to go back to"):
        two.rollback("model")


def test_a_version_that_fails_a_check_is_not_pointed_to(two, tmp_path):
    card = tmp_path / "models" / "model" / "2" / "card.json"
    card.chmod(0o600)
    card.write_bytes(card.read_bytes().replace(b'"created":"2026', b'"created":"2027'))
    model = tmp_path / "models" / "model" / "2" / "model.data"
    model.chmod(0o600)
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(ModelRefused, match="digest"):
        two.use("model", "2")

    assert two.current("model") == "1"


def test_one_model_that_is_refused_is_closed_and_takes_no_other_down(two, seal, tmp_path):
    seal(LogisticRegression().fit(ROWS, ANSWERS), "other")
    (tmp_path / "models" / "other" / "1" / "model.data").unlink()
    two.load_all()

    assert two.names() == ["model"]
    assert two.get("other") is None
    assert two.is_refused("other")
    assert not two.is_refused("model")
    assert "model other version 1: missing: model.data" in str(two.refused()["other"])


def test_a_pointer_that_points_nowhere_takes_no_other_model_down(two, seal, tmp_path):
    seal(LogisticRegression().fit(ROWS, ANSWERS), "other")
    (tmp_path / "models" / "other" / "current").write_text("latest")
    two.load_all()

    assert two.names() == ["model"]
    assert "does not hold a version" in str(two.refused()["other"])


def test_what_was_refused_answers_again_once_it_is_mended(two, seal, tmp_path):
    seal(LogisticRegression().fit(ROWS, ANSWERS), "other")
    (tmp_path / "models" / "other" / "current").write_text("latest")
    two.load_all()
    two.use("other", "1")
    two.load_all()

    assert two.names() == ["model", "other"]
    assert two.refused() == {}


def test_where_every_model_is_refused_the_load_is_and_keeps_what_served(two, tmp_path):
    two.load_all()
    (tmp_path / "models" / "model" / "1" / "model.data").unlink()
    with pytest.raises(ModelRefused, match=r"model model version 1: missing: model\.data"):
        two.load_all()

    assert two.names() == ["model"]


@pytest.mark.parametrize("text", ["../other", "", "latest", "99"])
def test_use_mends_a_pointer_that_points_nowhere(two, tmp_path, text):
    """The refusal of such a pointer says: run `models use`."""
    (tmp_path / "models" / "model" / "current").write_text(text)
    two.use("model", "2")

    assert two.current("model") == "2"


def test_a_version_that_does_not_serve_can_be_removed(two, tmp_path):
    two.use("model", "2")
    two.remove("model", "1")

    assert two.versions("model") == ["2"]
    assert sorted(path.name for path in (tmp_path / "models" / "model").iterdir()) == [
        "2",
        "current",
        "last",
    ]
    with pytest.raises(ModelRefused, match="no earlier version"):
        two.rollback("model")


def test_the_version_that_serves_is_not_removed(two):
    with pytest.raises(ModelRefused, match=r"is the one that serves; fix: .*models use model"):
        two.remove("model", "1")

    assert two.versions("model") == ["1", "2"]


def test_the_number_of_a_removed_version_is_not_given_again(two, seal):
    """Rights and records name versions."""
    two.remove("model", "2")

    assert two.next_version("model") == "3"
    assert seal(LogisticRegression().fit(ROWS, ANSWERS)).version == "3"


def test_a_whole_model_can_be_removed(two, seal, tmp_path):
    seal(LogisticRegression().fit(ROWS, ANSWERS), "other")
    two.remove("model")

    assert two.names_on_disk() == ["other"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("..", None),
        ("../model", "1"),
        ("model", "../1"),
        ("model", ""),
        ("model", "."),
        ("model", "7"),
        ("model", "current"),
        ("absent", None),
        ("absent", "1"),
    ],
)
def test_attack_what_is_no_version_is_never_removed(two, tmp_path, name, version):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelRefused) as refused:
        two.remove(name, version)

    assert refused.value.check == "missing"
    assert sorted(tmp_path.rglob("*")) == before


def test_attack_a_link_in_the_place_of_a_version_is_not_removed(two, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "models" / "model" / "3").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRefused):
        two.remove("model", "3")

    assert (tmp_path / "elsewhere").is_dir()


def test_pointers_can_be_put_back(two):
    before = two.pointers("model")
    two.use("model", "2")
    two.restore_current("model", before)

    assert two.pointers("model") == before == {"current": "1", "previous": None}


def test_verifiers_added_after_the_registry_was_made_are_heard(two, tmp_path):
    verifiers = []
    registry = Registry(tmp_path / "models", verifiers)
    stranger = signature.generate_key().public_key()
    verifiers.append(lambda artifact: signature.verify_signature(artifact, [stranger]))
    with pytest.raises(ModelRefused, match="not trusted"):
        registry.load_all()
    with pytest.raises(ModelRefused, match="not trusted"):
        registry.use("model", "2")

    assert registry.names() == []


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "",
        "../model",
        "a/b",
        "/etc",
        "-a",
        "_a",
        "a" * 65,
        "a\n",
        "a\x00",
        "modèle",
        ".hidden",
        "a.b",
    ],
)
def test_a_name_is_never_a_path(two, name):
    for ask in (two.versions, two.current, two.rollback, lambda n: two.use(n, "1"), two.card):
        with pytest.raises(ModelRefused) as refused:
            ask(name)
        assert refused.value.check == "missing"
    assert two.get(name) is None


@pytest.mark.parametrize(
    "version", ["..", "", "0", "01", "1/../2", "1\n", "-1", "latest", "99", "1" * 40, "\u0661"]
)
def test_a_version_is_never_a_path(two, version):
    with pytest.raises(ModelRefused):
        two.use("model", version)

    assert two.current("model") == "1"


@pytest.mark.parametrize("text", ["../other", "", "1 2", "latest", "\xff", "1\n2"])
def test_a_pointer_that_holds_no_version_stops_the_start(two, tmp_path, text):
    (tmp_path / "models" / "model" / "current").write_text(text, "latin-1")
    with pytest.raises(ModelRefused, match="does not hold a version"):
        two.load_all()


def test_a_pointer_to_a_version_that_is_gone_stops_the_start(two, tmp_path):
    (tmp_path / "models" / "model" / "current").write_text("7\n")
    with pytest.raises(ModelRefused, match="no version 7"):
        two.load_all()


def test_versions_without_a_pointer_stop_the_start(two, tmp_path):
    (tmp_path / "models" / "model" / "current").unlink()
    with pytest.raises(ModelRefused, match="models use model"):
        two.load_all()


def test_links_in_place_of_versions_or_names_are_not_models(two, tmp_path):
    models = tmp_path / "models"
    (models / "model" / "3").symlink_to(models / "model" / "1")
    (models / "linked").symlink_to(models / "model")

    assert two.versions("model") == ["1", "2"]
    assert two.names_on_disk() == ["model"]


def test_strays_beside_the_models_are_left_alone(two, tmp_path):
    (tmp_path / "models" / "lost+found").mkdir()
    (tmp_path / "models" / "empty").mkdir()
    (tmp_path / "models" / "README").write_text("hello")
    two.load_all()

    assert two.names() == ["model"]


def test_versions_are_in_the_order_of_their_numbers(two, tmp_path):
    for number in (10, 9):
        (tmp_path / "models" / "model" / str(number)).mkdir()

    assert two.versions("model") == ["1", "2", "9", "10"]


def test_a_card_is_shown_without_loading(two):
    assert two.card("model").version == "1"
    assert two.card("model", "2").version == "2"
    with pytest.raises(ModelRefused, match="no version 5"):
        two.card("model", "5")
