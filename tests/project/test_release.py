"""script/release makes the same bytes of a commit each time, and refuses what is no release."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    done = run(folder, "git", *words, **who)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path):
    """A project of git with the script, a version and its section in the changelog."""
    folder = tmp_path / "project"
    (folder / "script").mkdir(parents=True)
    (folder / "docs").mkdir()
    for name in ("release", "environment"):
        shutil.copy(CHECKOUT / "script" / name, folder / "script")
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (folder / "docs/changelog.md").write_text("# Changelog\n\n## 1.2.0 - 2026-01-31\n")
    (folder / "wsgi.py").write_text("# the program\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def release(project: Path, target: Path, *words: str, **environment: str) -> dict[str, bytes]:
    done = run(project, "script/release", str(target), *words, **environment)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in target.iterdir()}


def test_twice_gives_the_same_bytes(project, tmp_path):
    """On a machine with another zone, language and umask, after files were touched."""
    first = release(project, tmp_path / "first")
    (project / "wsgi.py").touch()
    (project / "not-kept").write_text("what git does not keep is in no release")
    git(project, "config", "tar.umask", "0077")
    second = release(project, tmp_path / "second", TZ="Asia/Tokyo", LC_ALL="C")
    assert first == second
    assert set(first) == {"secureml-1.2.0.tar.gz", "SHA256SUMS"}


def test_the_archive_is_the_commit(project, tmp_path):
    (project / "wsgi.py").write_text("# changed, and not committed\n")
    release(project, tmp_path / "made")
    with tarfile.open(tmp_path / "made/secureml-1.2.0.tar.gz") as archive:
        names = {member.name for member in archive if member.isfile()}
        program = archive.extractfile("secureml-1.2.0/wsgi.py")
        assert program is not None
        assert program.read() == b"# the program\n"
        assert {member.mode & 0o022 for member in archive} == {0}
    assert names == {f"secureml-1.2.0/{name}" for name in git(project, "ls-files").splitlines()}


def test_an_older_commit_is_released_by_its_name(project, tmp_path):
    old = git(project, "rev-parse", "HEAD")
    first = release(project, tmp_path / "first")
    (project / "wsgi.py").write_text("# another program\n")
    git(project, "commit", "--quiet", "-am", "two")
    assert release(project, tmp_path / "second", "--commit", old) == first
    assert release(project, tmp_path / "third") != first


def test_the_sums_are_those_of_the_files(project, tmp_path):
    made = release(project, tmp_path / "made")
    digest = hashlib.sha256(made["secureml-1.2.0.tar.gz"]).hexdigest()
    assert made["SHA256SUMS"].decode() == f"{digest}  secureml-1.2.0.tar.gz\n"
    assert run(tmp_path / "made", "sha256sum", "-c", "SHA256SUMS").returncode == 0
    assert gzip.decompress(made["secureml-1.2.0.tar.gz"])


def test_the_signature_is_verified_by_the_command_of_the_page(project, tmp_path):
    """And not once a byte of the sums is another."""
    key, public = tmp_path / "release.key", tmp_path / "release.pem"
    run(tmp_path, "openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key))
    run(tmp_path, "openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public))
    made = tmp_path / "made"
    release(project, made, "--key", str(key))
    shutil.copy(public, made / "release.pem")
    page = (CHECKOUT / "docs/SECURITY.md").read_text("utf-8")
    (command,) = [line for line in page.splitlines() if line.startswith("openssl pkeyutl -verify")]
    assert run(made, *command.split()).returncode == 0
    sums = (made / "SHA256SUMS").read_bytes()
    (made / "SHA256SUMS").write_bytes(bytes([sums[0] ^ 1]) + sums[1:])
    assert run(made, *command.split()).returncode != 0


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("docs/changelog.md", "# Changelog\n\n## Unreleased\n", "has no section of 1.2.0; fix: "),
        ("docs/changelog.md", "# Changelog\n\n## 1.2.01 - x\n", "has no section of 1.2.0; fix: "),
        ("pyproject.toml", "[project]\n", "names no version; fix: "),
        ("pyproject.toml", '[project]\nversion = "$(id)"\n', "names no version; fix: "),
    ],
)
def test_what_is_no_release_is_refused(project, tmp_path, file, text, message):
    (project / file).write_text(text)
    git(project, "commit", "--quiet", "-am", "two")
    done = run(project, "script/release", str(tmp_path / "made"))
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "made").exists()


def test_nothing_is_written_over(project, tmp_path):
    release(project, tmp_path / "made")
    done = run(project, "script/release", str(tmp_path / "made"))
    assert done.returncode == 1
    assert "exists; fix: " in done.stderr


@pytest.mark.parametrize(
    "words", [[], ["a", "b"], ["a", "--commit"], ["a", "--sign"], ["a", "--commit", "--help"]]
)
def test_what_it_does_not_know_is_refused(project, words):
    assert run(project, "script/release", *words).returncode == 1
