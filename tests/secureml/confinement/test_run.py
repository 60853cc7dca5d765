"""Honest work in confinement: it runs, its result arrives, and what it was not given is missing."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from secureml.confinement.limits import MIB, Limits
from secureml.confinement.plan import LANDLOCK, NAMESPACES, SECCOMP, USER
from secureml.confinement.run import Job, run
from secureml.confinement.unavailable import ConfinementError, ConfinementUnavailable

CHECKOUT = Path(__file__).parents[3]
FOLDER = CHECKOUT / "tests" / "attacks" / "confined"
LIMITS = Limits(wall=300, processor=200)
# Debian's Python, which every user may read; the tests' own may lie in root's home.
PUBLIC_PYTHON = Path("/usr/bin/python3")
FOREST = """
    import io, json, os, sys
    from pathlib import Path
    from secureml.confinement.limits import Limits
    from secureml.confinement.run import Job, run

    sink = io.BytesIO()
    name, *mechanisms = sys.argv[1:]
    choice = {"mechanisms": mechanisms, "required": mechanisms} if mechanisms else {}
    outcome = run(Job(f"honest_work:{name}", search_path=[Path(FOLDER)]),
                  limits=Limits(wall=300, processor=200), output=sink, **choice)
    print(json.dumps({"explain": outcome.explain(), "messages": outcome.messages,
                      "size": len(sink.getvalue()), "active": outcome.report.active,
                      "refusals": [refusal.call for refusal in outcome.refusals],
                      "told": json.loads(sink.getvalue()) if name == "tell_itself" else None}))
"""


def job(name, **given):
    return Job(f"honest_work:{name}", search_path=[FOLDER], **given)


def test_a_forest_is_fitted_asked_and_50_mb_are_written(tmp_path):
    path = tmp_path / "result"
    outcome = run(job("fit_and_predict"), limits=LIMITS, output=path)

    assert outcome.explain() == "the work ended well", outcome.messages
    assert outcome.refusals == ()
    assert path.read_bytes() == b"\x5a" * (50 * MIB)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert outcome.peak_memory > 50 * MIB
    assert outcome.processor > 0.1


def test_a_result_comes_through_a_pipe_as_well():
    sink = io.BytesIO()
    assert run(job("write_50_mb"), limits=LIMITS, output=sink).ok
    assert sink.getvalue() == b"\x5a" * (50 * MIB)


def test_inputs_are_read_by_descriptor_and_by_given_path(tmp_path):
    model = tmp_path / "model"
    model.write_bytes(b"\0bytes")
    for given in ({"arguments": (str(model),), "readable": [model]}, {}):
        sink = io.BytesIO()
        with model.open("rb") as file:
            name = "read_given_path" if given else "copy_input"
            work = job(name, inputs={"model": file.fileno()}, **given)
            assert run(work, limits=LIMITS, output=sink).ok
        assert sink.getvalue() == b"\0bytes"


def test_threads_may_be_started():
    sink = io.BytesIO()
    assert run(job("use_threads"), limits=LIMITS, output=sink).ok
    assert sink.getvalue() == b"8"


def test_our_own_packages_can_be_imported_though_the_checkout_cannot_be_read():
    sink = io.BytesIO()
    outcome = run(job("import_ourselves"), limits=LIMITS, output=sink)
    assert sink.getvalue() == b"secureml.config_error", outcome.messages


def test_the_child_has_no_rights_no_secrets_and_nothing_imported(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    sink = io.BytesIO()
    work = job("tell_itself", environment={"GIVEN": "1"}, arguments=("a b", "ü"))
    assert run(work, limits=LIMITS, output=sink).ok
    told = json.loads(sink.getvalue())

    assert (told["NoNewPrivs"], told["Seccomp"], told["Groups"].strip()) == ("1", "2", "")
    assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0
    assert told["environment"]["GIVEN"] == "1"
    assert "SECRET" not in told["environment"]
    assert (told["folder"], told["umask"]) == ("/", 0o077)
    assert told["arguments"] == ["a b", "ü"]
    assert not {"flask", "numpy", "secureml", "site"} & set(told["imported"])
    assert str(CHECKOUT) not in told["path"]


def test_a_file_that_is_there_is_not_overwritten_and_a_failed_result_not_kept(tmp_path):
    path = tmp_path / "result"
    path.write_text("before")
    with pytest.raises(FileExistsError):
        run(job("write_50_mb"), limits=LIMITS, output=path)
    assert path.read_text() == "before"

    path.unlink()
    assert not run(job("write_50_mb"), limits=Limits(output=MIB), output=path).ok
    assert not path.exists()


def test_inputs_that_could_be_a_way_out_are_refused(tmp_path):
    model = tmp_path / "model"
    model.write_bytes(b"x")
    with model.open("r+b") as file, pytest.raises(ValueError, match="'m' can be written; fix:"):
        run(job("copy_input", inputs={"m": file.fileno()}), limits=LIMITS)
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ValueError, match="neither a file nor a pipe"):
        run(job("copy_input", inputs={"m": folder}), limits=LIMITS)
    os.close(folder)


def test_a_missing_function_is_a_failure_of_the_work():
    outcome = run(job("no_such_function"), limits=LIMITS)
    assert "has no attribute 'no_such_function'" in outcome.explain()


def test_what_is_required_and_missing_names_the_switch(tmp_path):
    path = tmp_path / "result"
    with pytest.raises(ConfinementUnavailable) as missing:
        run(job("write_50_mb"), limits=LIMITS, output=path, mechanisms=(SECCOMP,),
            switch="--unconfined")  # fmt: skip
    assert set(missing.value.missing) == {LANDLOCK}
    assert "--unconfined" in str(missing.value)
    assert not path.exists()


def test_a_child_that_cannot_be_confined_is_an_error_and_runs_nothing(monkeypatch):
    """Limits that the kernel does not grant: above the hard limit of an ordinary user."""
    bounds = {"RLIMIT_NO_SUCH": (1, 1)}
    monkeypatch.setattr(Limits, "resources", lambda self: bounds)
    with pytest.raises(ConfinementError, match="RLIMIT_NO_SUCH"):
        run(job("write_50_mb"), limits=Limits(), output=io.BytesIO())


def public_version():
    if not PUBLIC_PYTHON.exists():
        return None
    script = "import sys; print(*sys.version_info[:2])"
    told = subprocess.run([PUBLIC_PYTHON, "-c", script], capture_output=True, check=True)
    return tuple(map(int, told.stdout.split()))


@pytest.fixture
def by_public_python():
    """Run a script by Debian's Python with our packages, as root or as somebody else."""
    packages = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    closed = [path for path in (packages, *packages.parents, CHECKOUT, *CHECKOUT.parents)
              if not path.stat().st_mode & stat.S_IXOTH]  # fmt: skip
    if os.geteuid() != 0 or closed or public_version() != sys.version_info[:2]:
        pytest.skip("needs root, a Python of our version and packages that everybody may read")

    def start(*arguments, **user):
        script = textwrap.dedent(FOREST).replace("Path(FOLDER)", f"Path({str(FOLDER)!r})")
        told = subprocess.run(
            [PUBLIC_PYTHON, "-B", "-c", script, *arguments],
            cwd="/", env={"PYTHONPATH": f"{CHECKOUT}:{packages}"}, check=True,
            capture_output=True, text=True, **user,
        )  # fmt: skip
        return json.loads(told.stdout)

    return start


NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


@pytest.mark.parametrize("mechanisms", [(), (SECCOMP,)], ids=["all", "without Landlock"])
def test_the_same_forest_as_an_ordinary_user(by_public_python, mechanisms):
    outcome = by_public_python("fit_and_predict", *mechanisms, **NOBODY)

    assert outcome["explain"] == "the work ended well", outcome["messages"]
    assert (outcome["size"], outcome["refusals"]) == (50 * MIB, [])
    assert SECCOMP in outcome["active"]
    assert (LANDLOCK in outcome["active"]) is not bool(mechanisms)


def test_as_root_it_becomes_nobody(by_public_python):
    outcome = by_public_python("tell_itself")
    told = outcome["told"]

    assert USER in outcome["active"]
    assert told["uid"] == 65534
    assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0


def test_an_ordinary_user_has_namespaces_where_the_system_gives_them(by_public_python):
    outcome = by_public_python("tell_itself", **NOBODY)
    assert USER not in outcome["active"]
    if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
        pytest.skip("no user namespaces")
    assert NAMESPACES in outcome["active"]
