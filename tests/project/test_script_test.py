"""script/test takes a good Node for good, an old or broken one for missing, and says nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash") or "/bin/bash"
# Node's own words where there is one; what script/test installs lies in its environment.
PLACES = ["/usr/bin:/usr/local/bin", str(CHECKOUT / ".venv/node/bin")]
NODES = [found for place in PLACES if (found := shutil.which("node", path=place))]


def asks(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the very function, with a path of its own."""
    script = (CHECKOUT / "script" / "test").read_text("utf-8")
    (function,) = re.findall(r"^new_node\(\) \{\n.*?^\}$", script, re.MULTILINE | re.DOTALL)
    return subprocess.run(
        [BASH, "-euo", "pipefail", "-c", f"{function}\nif new_node; then exit 0; else exit 3; fi"],
        env={"PATH": str(folder)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def put(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(text, "utf-8")
    file.chmod(0o700)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize(
    ("version", "good"),
    [("18.20.4", False), ("9.0.0", False), ("20.0.0", True), ("22.1.0", True), ("100.0.0", True)],
)
def test_a_node_is_judged_by_its_version(
    tmp_path: Path, node: str, version: str, good: bool
) -> None:
    says = f"Object.defineProperty(process.versions, 'node', {{value: '{version}'}});"
    (tmp_path / "says.js").write_text(says, "utf-8")
    put(tmp_path, "node", f'#!{BASH}\nexec {node} -r {tmp_path}/says.js "$@"\n')
    put(tmp_path, "npm", f"#!{BASH}\n")
    done = asks(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0 if good else 3, "", "")


@pytest.mark.parametrize("programs", [[], ["npm"], ["node"], ["node", "npm"]])
def test_one_that_is_missing_or_broken_is_missing(tmp_path: Path, programs: list[str]) -> None:
    """Without a word: what follows installs one."""
    for name in programs:
        put(tmp_path, name, f"#!{BASH}\nprintf 'a stack trace' >&2\nexit 1\n")
    done = asks(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
