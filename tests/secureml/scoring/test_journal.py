from __future__ import annotations

import pytest

from secureml.scoring.journal import Journal
from secureml.scoring.refused import NotScored

RUN = {
    "model": {"name": "m", "version": "1", "model_sha256": "a", "card_sha256": "b"},
    "options": {"chunk_rows": 10, "keep": []},
    "inputs": [{"file": "in.csv", "size": 5, "sha256": "c"}],
}
RECORD = {"read": 1, "answered": 1, "refused": {}, "changed": {}}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / ".out.csv.score"


def begun(folder, run=RUN, *, restart=False):
    journal = Journal(folder)
    return journal, journal.begin(run, restart=restart)


def killed(folder, *chunks):
    journal, _ = begun(folder)
    for chunk in chunks:
        journal.keep(0, chunk, b"part %d" % chunk, b"", RECORD)
    journal.close(finished=False)


def finished(journal, *, published=False):
    return [n for n in range(4) if journal.record_of(0, n, published=published) is not None]


def test_what_was_finished_is_known_to_the_next_run(folder):
    killed(folder, 2, 0)
    journal, resumed = begun(folder)

    assert (resumed, finished(journal)) == (True, [0, 2])
    assert journal.part(0, 2) == b"part 2"


def test_only_the_owner_can_read_it(folder):
    killed(folder, 0)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    folder.chmod(0o755)
    with pytest.raises(NotScored, match="can be read by others"):
        Journal(folder)


@pytest.mark.parametrize("end", [b'{"file": 0, "chu', b"{"])
def test_a_line_that_was_being_written_is_dropped(folder, end):
    killed(folder, 0)
    with (folder / "finished.jsonl").open("ab") as file:
        file.write(end)
    journal, _ = begun(folder)
    journal.keep(0, 1, b"part 1", b"", RECORD)
    journal.close(finished=False)

    assert finished(begun(folder)[0]) == [0, 1]


@pytest.mark.parametrize("content", [b"part", b"", b"part 0 and more", None])
def test_a_part_that_is_not_whole_is_not_trusted(folder, content):
    killed(folder, 0, 1)
    part = folder / "000000-00000000.part"
    part.unlink() if content is None else part.write_bytes(content)
    journal, _ = begun(folder)

    assert finished(journal) == [1]
    assert finished(journal, published=True) == [0, 1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": RUN["model"] | {"version": "2"}}, "score with m@1, or --restart"),
        ({"model": RUN["model"] | {"model_sha256": "z"}}, "score with m@1, or --restart"),
        ({"inputs": [RUN["inputs"][0] | {"sha256": "z"}]}, "the input in.csv is not the one"),
        ({"options": {"chunk_rows": 9, "keep": []}}, "other options or inputs: chunk_rows; fix"),
        ({"inputs": []}, "other options or inputs; fix: give the same ones"),
    ],
)
def test_a_run_of_something_else_is_refused_and_keeps_what_is_there(folder, change, why):
    killed(folder, 0)
    journal = Journal(folder)
    with pytest.raises(NotScored, match=why):
        journal.begin(RUN | change, restart=False)
    journal.close(finished=False)

    assert finished(begun(folder)[0]) == [0]


def test_a_restart_drops_what_is_there(folder):
    killed(folder, 0, 1)
    journal, resumed = begun(folder, RUN | {"inputs": []}, restart=True)

    assert (resumed, finished(journal)) == (False, [])
    assert not list(folder.glob("*.part"))


def test_two_runs_of_one_output_at_a_time_are_refused(folder):
    journal, _ = begun(folder)
    with pytest.raises(NotScored, match="another run writes this output"):
        Journal(folder)
    journal.close(finished=False)
    Journal(folder).close(finished=False)


def test_a_finished_run_and_one_that_never_began_leave_nothing(folder):
    Journal(folder).close(finished=False)
    assert not folder.exists()
    journal, _ = begun(folder)
    journal.close(finished=True)
    assert not folder.exists()


def test_a_link_in_place_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotScored, match="is no folder"):
        Journal(folder)


def test_what_is_published_is_known_by_its_digest(folder, tmp_path):
    journal, _ = begun(folder)
    whole = journal.whole(0)
    whole.write_bytes(b"all of it")
    journal.announce(0, whole)
    journal.close(finished=False)
    journal, _ = begun(folder)
    target = tmp_path / "out.csv"

    assert not journal.is_published(0, target)
    target.write_bytes(b"all of it")
    assert journal.is_published(0, target)
    assert not journal.is_published(1, target)
    target.write_bytes(b"another")
    assert not journal.is_published(0, target)
