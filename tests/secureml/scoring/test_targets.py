from __future__ import annotations

import pytest

from secureml.scoring.refused import NotScored
from secureml.scoring.targets import check_target, find_files, make_folder, publish


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    for name in ("b.csv", "a.parquet", "notes.md", ".hidden.csv"):
        (place / name).write_text("x\n")
    return place


def made(tmp_path):
    path = tmp_path / "made"
    path.write_text("new")
    return path


def test_a_file_becomes_a_file(folder, tmp_path):
    found = find_files(str(folder / "b.csv"), tmp_path / "out.csv")

    assert found.pairs == ((folder / "b.csv", tmp_path / "out.csv"),)
    assert found.journal == tmp_path / ".out.csv.score"


def test_a_file_goes_into_a_folder_that_is_there(folder, tmp_path):
    (tmp_path / "out").mkdir()

    assert find_files(str(folder / "b.csv"), tmp_path / "out").pairs[0].target == (
        tmp_path / "out/b.csv"
    )


def test_a_folder_becomes_a_folder_with_the_same_names_and_tells_what_it_leaves_out(
    folder, tmp_path
):
    found = find_files(str(folder), tmp_path / "out")

    assert [pair.target.name for pair in found.pairs] == ["a.parquet", "b.csv"]
    assert found.left_out == (".hidden.csv", "notes.md")
    assert found.journal == tmp_path / "out/.score"


def test_a_pattern_chooses_files(folder, tmp_path):
    assert [pair.source.name for pair in find_files(f"{folder}/*.csv", tmp_path / "o").pairs] == [
        "b.csv"
    ]


def test_two_inputs_of_one_name_are_refused(folder, tmp_path):
    (tmp_path / "in2").mkdir()
    (tmp_path / "in2/b.csv").write_text("x\n")
    with pytest.raises(NotScored, match=r"two input files have the name 'b\.csv'"):
        find_files(f"{tmp_path}/in*/b.csv", tmp_path / "o")


def test_nothing_to_read_is_refused(tmp_path):
    with pytest.raises(NotScored, match="there is no input file"):
        find_files(str(tmp_path / "nothing*.csv"), tmp_path / "o")


def test_the_input_is_not_written_over(folder):
    with pytest.raises(NotScored, match="is the input itself"):
        find_files(str(folder / "b.csv"), folder / "b.csv")
    with pytest.raises(NotScored, match="is the input itself"):
        find_files(str(folder), folder)


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("old")
    with pytest.raises(NotScored, match="exists already; fix: --force"):
        publish(made(tmp_path), target, force=False)
    assert target.read_text() == "old"

    publish(made(tmp_path), target, force=True)
    assert target.read_text() == "new"
    assert not (tmp_path / "made").exists()


def test_a_file_that_appears_in_between_is_not_replaced(tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    target.write_text("old")
    monkeypatch.setattr("secureml.scoring.targets.check_target", lambda *_, **__: None)
    with pytest.raises(NotScored, match="exists already"):
        publish(made(tmp_path), target, force=False)

    assert target.read_text() == "old"


@pytest.mark.parametrize("force", [False, True])
def test_output_is_not_written_through_a_link(tmp_path, force):
    secret, link = tmp_path / "secret", tmp_path / "out.csv"
    secret.write_text("s")
    link.symlink_to(secret)
    with pytest.raises(NotScored, match="is a symbolic link"):
        publish(made(tmp_path), link, force=force)

    assert secret.read_text() == "s"


@pytest.mark.parametrize("force", [False, True])
def test_output_is_not_written_to_what_is_no_file(tmp_path, force):
    with pytest.raises(NotScored, match="is no regular file"):
        check_target(tmp_path, force=force)


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path):
    make_folder(tmp_path / "o")

    assert (tmp_path / "o").stat().st_mode & 0o777 == 0o700
    make_folder(tmp_path / "o")
    (tmp_path / "link").symlink_to(tmp_path / "o")
    for other in ("link", "missing/o"):
        with pytest.raises(NotScored):
            make_folder(tmp_path / other)
