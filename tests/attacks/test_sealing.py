"""Attack: model files that do all they can while they are sealed, by the command itself.

First what a pickle can ask for, then what a class does whose name was allowed: neither list stops
that, and the confinement alone has to. The command must end, name what was tried, and leave
nothing behind; the last test shows that the attacks are real.
"""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import packaging
from secureml.models.sealing.confined_conversion import Confined

sys.path.insert(0, str(Path(__file__).parent / "sealed"))
import hostile_model
from hostile_model import Hostile

ROWS, ANSWERS = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 1.0], [3.0, 0.0]]), np.array([0, 0, 1, 1])
OWN = frozenset({"hostile_model.Hostile"})
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confinement is of Linux")


class Asks:
    """A pickle that calls something as it is read."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.fixture
def target(tmp_path):
    """A folder that anybody may write to, with a file in it."""
    folder = tmp_path / "target"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "there").write_text("s3cret")
    (folder / "there").chmod(0o666)
    return folder


@pytest.fixture
def seal(tmp_path, target):
    """Seal a file as the command does, and return the refusal; nothing may be left of it."""
    key = signature.generate_key()

    def refused(file, *, allow=frozenset(), **limits):
        before = snapshot(tmp_path)
        place = packaging.SealTarget(
            tmp_path / "models", key, lambda: 0.0, allow, convert=Confined(**limits)
        )
        with pytest.raises(ModelRefused) as found:
            packaging.seal(packaging.Order(file, "hostile"), place)
        (tmp_path / "models").rmdir()  # which is empty
        assert snapshot(tmp_path) == before
        return found.value

    return refused


def snapshot(folder):
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
        if path.name != "models"
    }


# --- what a pickle asks for ----------------------------------------------------------------------

CALLS = {
    "a shell": (os.system, "touch {}/ran"),
    "a program": (os.execv, "/usr/bin/touch", ["touch", "{}/ran"]),
    "a program by a library": (__import__("subprocess").check_output, ["touch", "{}/ran"]),
    "Python": (exec, "open('{}/ran', 'w')"),
    "an expression": (eval, "open('{}/ran', 'w')"),
    "a file": (open, "{}/ran", "w"),
    "a folder": (os.mkdir, "{}/ran"),
    "a deletion": (os.unlink, "{}/there"),
    "a tree that is deleted": (shutil.rmtree, "{}"),
    "a connection": (socket.create_connection, ("127.0.0.1", 9)),
    "an import": (__import__, "antigravity"),
    "another pickle": (pickle.loads, b"cos\nsystem\n(S'touch {}/ran'\ntR."),
    "another file": (joblib.load, "{}/there"),
    "an attribute": (getattr, "text", "format"),
    "a write by numpy": (np.save, "{}/ran", np.ones(2)),
    "a read by numpy": (np.fromfile, "{}/there"),
    "memory by its address": (np.asarray, {"data": (16, True), "shape": (8,), "typestr": "|u1"}),
    "the end of the process": (os._exit, 0),
    "a signal": (os.kill, 1, 9),
    "a debugger": (breakpoint,),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_what_a_pickle_asks_for_is_refused_by_its_name(seal, target, tmp_path, case):
    function, *arguments = CALLS[case]
    given = [filled(argument, str(target)) for argument in arguments]
    file = tmp_path / "hostile.joblib"
    file.write_bytes(pickle.dumps(Asks(function, *given)))

    found = seal(file)
    assert found.check in ("globals", "format")
    if found.check == "globals":
        assert function.__name__ in found.message
    assert found.fix


def filled(argument, folder):
    if isinstance(argument, str):
        return argument.replace("{}", folder)
    if isinstance(argument, bytes):
        return argument.replace(b"{}", folder.encode())
    return [filled(each, folder) for each in argument] if type(argument) is list else argument


# --- what an allowed class does ------------------------------------------------------------------

# What is done, what the refusal must say of it (on a busy machine perhaps the second), and limits
# that are narrower than usual.
DEEDS = {
    "write_file": ("open {target}/written for writing", {}),
    "append_to_module": ("for writing", {}),
    "make_folder": ("make the folder {target}/made", {}),
    "delete_file": ("delete {target}/there", {}),
    "rename_file": ("rename {target}/there", {}),
    "link_file": ("make a link to", {}),
    "change_mode": ("change the mode of {target}/there", {}),
    "read_secret": ("Permission denied: '{target}/there'", {}),
    "read_shadow": ("Permission denied: '/etc/shadow'", {}),
    "read_passwd": ("Permission denied: '/etc/passwd'", {}),
    "read_environment": ("Permission denied", {}),
    "run_program": ("start another process", {}),
    "run_shell": ("start another process", {}),
    "become_program": ("run the program /usr/bin/touch", {}),
    "fork_once": ("start another process", {}),
    "fork_without_end": ("start another process", {}),
    "start_threads": ("threads", {}),
    "connect_out": ("open a network socket", {}),
    "ask_names": ("open a network socket", {}),
    "listen": ("open a network socket", {}),
    "kill_parent": ("send a signal to another process", {}),
    "trace_parent": ("reach into another process", {}),
    "eat_memory": ("needed more memory than 700 MiB", {"memory": 700 * 1024**2}),
    "compute_without_end": ("computed for more than 4 s|did not end within 16 s", {"seconds": 4}),
    "print_without_end": ("wrote messages of more than", {}),
    "raise_limits": ("change its limits", {}),
    "read_foreign_memory": ("SIGSEGV", {}),
    "array_of_foreign_memory": ("SIGSEGV", {}),
    "end_well": ("no result that can be read", {}),
    "answer_for_us": ("", {}),
}


def hostile_file(folder, what, target):
    file = folder / "hostile.joblib"
    model = Hostile().fit(ROWS, ANSWERS)
    joblib.dump(model.set_params(what=what, target=str(target)), file)
    return file


@pytest.mark.parametrize("what", DEEDS)
def test_what_an_allowed_class_does_comes_to_nothing_and_is_named(seal, target, tmp_path, what):
    says, limits = DEEDS[what]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        aim = listener.getsockname()[1] if what == "connect_out" else target
        found = seal(hostile_file(tmp_path, what, aim), allow=OWN, **limits)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()

    assert any(one in found.message for one in says.format(target=target).split("|"))
    assert found.fix


def test_the_honest_one_is_sealed(tmp_path):
    place = packaging.SealTarget(
        tmp_path / "models", signature.generate_key(), lambda: 0.0, OWN, convert=Confined()
    )
    sealed = packaging.seal(packaging.Order(hostile_file(tmp_path, "nothing", ""), "own"), place)

    assert sealed.card.globals == ("hostile_model.Hostile",)
    assert sealed.card.golden.predictions.count(1) > 0


@pytest.mark.parametrize("what", ["write_file", "read_secret", "run_shell", "fork_once"])
def test_the_attacks_are_real(target, what):
    getattr(hostile_model, what)(str(target))
