"""All of a backup is put in place, or nothing is; and nothing that was there is lost."""

from __future__ import annotations

import io
import json
import tarfile

import pytest


@pytest.fixture
def saved(fresh_instance, tmp_path, type_command):
    file = tmp_path / "backup.tar.gz"
    assert type_command("backup", file, "--instance", fresh_instance).code == 0
    return file


def rewritten(file, change):
    """Write an archive again, with its members changed by a function."""
    with tarfile.open(file) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    made = file.with_name("changed.tar.gz")
    with tarfile.open(made, "w:gz") as tar:
        for name, content in change(members):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made


def listed(members, **entry):
    """Add one more thing to the list at the end."""
    name, content = members[-1]
    found = json.loads(content)
    words = {"mode": 0o644, "owner": "0", "group": "0", "size": 0, "sha256": "", "target": ""}
    found["entries"].append(words | entry)
    return [*members[:-1], (name, json.dumps(found).encode())]


def test_the_model_serves_again(saved, tmp_path, type_command):
    place = tmp_path / "again"
    done = type_command("restore", saved, "--instance", place)
    following = "next, run: secureml check, then secureml audit-log verify"
    assert (done.code, following in done.out) == (0, True)
    done = type_command("check", "--instance", place)
    assert (done.code, "model breast-cancer version 1" in done.out) == (0, True)
    done = type_command("audit-log", "verify", "--instance", place)
    assert (done.code, "unbroken" in done.out) == (0, True)


def test_an_empty_folder_is_taken_and_one_that_holds_something_is_not(
    saved, tmp_path, type_command
):
    place = tmp_path / "again"
    place.mkdir()
    assert type_command("restore", saved, "--instance", place).code == 0
    before = sorted(place.rglob("*"))
    done = type_command("restore", saved, "--instance", place)
    assert (done.code, "fix: move it away first" in done.err) == (2, True)
    assert sorted(place.rglob("*")) == before


def cut(members):
    return members[:-1]


def changed(members):
    return [(n, c + b"x" if n.endswith("secureml.toml") else c) for n, c in members]


def left_out(members):
    return [(n, c) for n, c in members if not n.endswith("edge-token")]


def put_in(members):
    return [("instance/keys/more", b"x"), *members]


def twice(members):
    return [members[0], *members]


def up_and_out(members):
    return [("instance/../../evil", b"x"), *members]


def absolute(members):
    return [("/tmp/evil", b"x"), *members]


def behind(members):
    return [*members, ("instance/late", b"x")]


def listed_outside(members):
    return listed(members, name="../evil", kind="folder")


def other_format(members):
    found = json.loads(members[-1][1]) | {"format": 99}
    return [*members[:-1], (members[-1][0], json.dumps(found).encode())]


@pytest.mark.parametrize(
    "change",
    [cut, changed, left_out, put_in, twice, up_and_out, absolute, behind, listed_outside,
     other_format],
)  # fmt: skip
def test_attack_an_archive_that_is_not_as_it_was_written_changes_nothing(
    saved, tmp_path, type_command, change
):
    file, place = rewritten(saved, change), tmp_path / "site" / "again"
    done = type_command("restore", file, "--instance", place)
    assert (done.code, "this backup is incomplete or damaged" in done.err) == (2, True), done
    assert not place.exists()
    assert list(place.parent.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_attack_a_link_does_not_lead_files_away(saved, tmp_path, type_command):
    def with_link(members):
        made = listed(members, name="instance/away", kind="link", target=str(tmp_path / "target"))
        return [("instance/away/evil", b"x"), *made]

    (tmp_path / "target").mkdir()
    file = rewritten(saved, with_link)
    done = type_command("restore", file, "--instance", tmp_path / "again")
    assert done.code != 0
    assert list((tmp_path / "target").iterdir()) == []
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_half_a_file_is_no_backup(saved, tmp_path, type_command, part):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * part)])
    done = type_command("restore", saved, "--instance", tmp_path / "again")
    assert (done.code, "this backup is incomplete or damaged" in done.err) == (2, True)
    assert not (tmp_path / "again").exists()


def test_noise_is_no_backup(tmp_path, type_command):
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    done = type_command("restore", tmp_path / "noise", "--instance", tmp_path / "again")
    assert (done.code, "this backup is incomplete or damaged" in done.err) == (2, True)


def test_an_owner_this_machine_does_not_know_stops_it_with_the_line_that_makes_one(
    saved, tmp_path, type_command, monkeypatch
):
    from secureml.cli import restore

    def strange(members):
        found = json.loads(members[-1][1])
        found["entries"][0]["owner"] = "nobody-of-this-name"
        return [*members[:-1], (members[-1][0], json.dumps(found).encode())]

    monkeypatch.setattr(restore.os, "geteuid", lambda: 0)
    file = rewritten(saved, strange)
    done = type_command("restore", file, "--instance", tmp_path / "again")
    assert (done.code, "fix: useradd --system" in done.err) == (2, True)
    assert not (tmp_path / "again").exists()


def with_lines(instance, *lines):
    with (instance / "secureml.toml").open("a") as file:
        file.write("\n".join(("", *lines, "")))


def test_a_restored_copy_in_another_folder_has_a_store_of_its_own(tmp_path, type_command):
    """What is revoked in one of them must not depend on the other."""
    site, place, file = tmp_path / "site", tmp_path / "again", tmp_path / "backup.tar.gz"
    words = ("--profile", "production", "--host", "ml.example.org")
    assert type_command("init", *words, "--instance", site).code == 0
    assert type_command("clients", "add", "acme", "--instance", site).code == 0
    assert type_command("backup", file, "--instance", site).code == 0
    done = type_command("restore", file, "--json", "--instance", place)
    assert (done.code, json.loads(done.out)["warnings"]) == (0, [])
    assert type_command("clients", "add", "other", "--instance", place).code == 0
    names = [
        {row["name"] for row in json.loads(type_command("clients", "list", "--json",
                                                        "--instance", folder).out)}
        for folder in (site, place)
    ]  # fmt: skip
    assert names == [{"acme"}, {"acme", "other"}]
    site.rename(tmp_path / "gone")
    assert type_command("clients", "list", "--instance", place).code == 0


def test_attack_a_restored_copy_does_not_write_into_the_store_of_the_first(
    fresh_instance, tmp_path, type_command
):
    """As saved from settings with an absolute path: said by restore, and refused by all others."""
    file, place = tmp_path / "backup.tar.gz", tmp_path / "again"
    with_lines(fresh_instance, "[store]", f'url = "sqlite:///{fresh_instance}/secureml.db"')
    assert type_command("backup", file, "--instance", fresh_instance).code == 0
    done = type_command("restore", file, "--instance", place)
    assert done.code == 0, done.err
    assert f"[store] url: 'sqlite:///{fresh_instance}/secureml.db' points to" in done.out
    for line in (["check"], ["clients", "add", "acme"]):
        said = type_command(*line, "--instance", place)
        assert said.code == 2
        assert f"in another instance folder ({fresh_instance})" in said.err
        assert 'fix: url = "sqlite:///secureml.db"' in said.err
    fresh_instance.rename(tmp_path / "gone")
    said = type_command("check", "--instance", place)
    assert (said.code, "there is no store" in said.err) == (2, True)


def test_every_setting_that_leads_back_to_the_first_folder_is_named(
    fresh_instance, tmp_path, type_command
):
    file, place = tmp_path / "backup.tar.gz", tmp_path / "again"
    settings = fresh_instance / "secureml.toml"
    text = settings.read_text().replace('"file:keys/audit.key"',
                                        f'"file:{fresh_instance}/keys/audit.key"')  # fmt: skip
    settings.write_text(f'{text}checkpoint_file = "{fresh_instance}/logs/points.jsonl"\n')
    assert type_command("backup", file, "--instance", fresh_instance).code == 0
    done = type_command("restore", file, "--json", "--instance", place)
    warnings = json.loads(done.out)["warnings"]
    assert [text.split(": ")[1] for text in warnings] == [
        "[plugins.audit_log] key",
        "[plugins.audit_log] checkpoint_file",
    ]
    assert all(f"points to {fresh_instance}" in text for text in warnings)
    again = type_command("restore", file, "--json", "--instance", tmp_path / f"{place.name}-2")
    assert len(json.loads(again.out)["warnings"]) == 2
