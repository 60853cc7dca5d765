"""Install, back up and restore as docs/install.md says, each on a Debian that has nothing.

The lines that run are those of the page. Left out are the ones that fetch (apt-get, git, pip):
Debian's packages are put into the root that both machines begin with, the checkout and its
packages are mounted into it. For systemd and the certificate's authority stand the programs in
`fresh_machine/`, which run the lines of our units.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import pandas as pd
import pytest
from live_servers import CHECKOUT
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.live, pytest.mark.slow]

PAGE = (CHECKOUT / "docs" / "install.md").read_text("utf-8")
PACKAGES = "python3,nginx-light,openssl,ca-certificates"
FETCHES = ("apt-get ", "git clone", "cd /opt/secureml && ")
# Something in a database that only serving would write, on one machine and on the other.
SPENT = """
cat > /tmp/spent.py <<'END'
import os, sqlite3
os.umask(0o077)
with sqlite3.connect("/var/lib/secureml/store/budgets.db") as budgets:
    budgets.execute("PRAGMA journal_mode=WAL")
    budgets.execute("CREATE TABLE spent (rest)")
    budgets.execute("INSERT INTO spent VALUES (41)")
END
runuser -u secureml -- /opt/secureml/.venv/bin/python /tmp/spent.py
"""
LEFT = """
/opt/secureml/.venv/bin/python -c 'import sqlite3
budgets = sqlite3.connect("/var/lib/secureml/store/budgets.db")
print("left of the budget:", *budgets.execute("SELECT rest FROM spent").fetchone())'
"""
STAT = """
cd /var/lib/secureml
stat -c '%n %U:%G %a' secureml.toml keys/* store/* models
stat -c '%n %U:%G %a' /etc/nginx/deploy/nginx/edge_token.conf
"""
END = "systemctl start secureml-audit.service\nsystemctl stop secureml.service"
KEY = re.compile(r"sml_\S+")


def lines(heading: str, most: int | None = None) -> str:
    """Return what the page has one type under a heading, without what fetches.

    The first ``most`` blocks, where those behind are for some readers alone.
    """
    section = re.split(r"^#{2,3} ", PAGE.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert blocks, heading
    typed = "".join(blocks[:most]).splitlines()
    return "\n".join(line for line in typed if not line.startswith((*FETCHES, "curl ")))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]) -> Path:
    """A fresh Debian 12, made now."""
    program = tool("mmdebstrap", "apt-get install mmdebstrap")
    if os.geteuid() != 0:
        pytest.skip("only root can make a machine and mount into it")
    if sys.base_prefix == "/usr" and sys.version_info[:2] != (3, 11):
        pytest.skip("the packages of this Python do not run under that of Debian 12")
    folder = tmp_path_factory.mktemp("debian") / "root"
    options = ["--variant=minbase", "--mode=root", f"--include={PACKAGES}"]
    options += ["--aptopt=APT::Install-Recommends false", "--dpkgopt=force-unsafe-io"]
    options += [
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
    ]
    made = subprocess.run(
        [program, *options, "bookworm", str(folder)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    return folder


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Callable[[str, str], str]:
    """Run lines in a machine of their own; /mnt/shared is all that two machines share."""
    shared = tmp_path / "shared"
    shared.mkdir()

    def run_it(name: str, script: str) -> str:
        (shared / f"{name}.sh").write_text(script)
        here = Path(__file__).parent / "fresh_machine"
        done = subprocess.run(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
             str(here / "machine"),
             str(base), f"{name}.sh", str(CHECKOUT), sys.base_prefix, str(shared)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{name}:\n{done.stdout[-6000:]}"
        return done.stdout

    return run_it


def trained(folder: Path) -> None:
    """Leave a model and its table, as somebody would bring them."""
    table = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0] * 10, "calls": [0.0, 1.0, 2.0, 3.0] * 10})
    table["churned"] = [0, 0, 1, 1] * 10
    features = table[["age", "calls"]].to_numpy()
    joblib.dump(LogisticRegression().fit(features, table["churned"]), folder / "churn.joblib")
    table.to_csv(folder / "training.csv", index=False)


def test_a_backup_brings_the_site_back_on_a_machine_that_has_nothing(
    run: Callable[[str, str], str], tmp_path: Path
) -> None:
    trained(tmp_path / "shared")
    host = "host=ml.example.org"
    assert f"\n{host}\n" in PAGE
    steps = [
        "1. The program", "2. The instance", "3. A model", "4. The service", "5. Nginx",
        "6. A client",
    ]  # fmt: skip
    first = [host, "cd /mnt/shared", *(f"{lines(step)}\ncd /mnt/shared" for step in steps[:-1])]
    first += [f"{{\n{lines(steps[-1], most=1)}\n}} | tee key.txt", SPENT]
    first += ['ask "$host" "$(grep -o "sml_[^ ]*" key.txt)"', 'ask "$host" sml_wrong_key']
    first += [lines("Back up"), "cp /var/backups/secureml/*.tar.gz /mnt/shared/backup.tar.gz", END]
    said = run("first", "\n".join(first))
    assert '"status": 200' in said, said[-4000:]
    assert '"status": 401' in said, said[-4000:]
    assert "not in it" not in said
    key = KEY.search((tmp_path / "shared/key.txt").read_text())
    assert key is not None

    restore = lines("Restore").splitlines()
    restore = ["backup=/mnt/shared/backup.tar.gz" if line.startswith("backup=") else line
               for line in restore]  # fmt: skip
    # Other ids than on the first machine: names are what counts.
    second = [host, "useradd --system someone", lines(steps[0]), *restore]
    second += [f'ask "$host" {key.group()}', STAT, LEFT, END]
    said = run("second", "\n".join(second))
    answer = json.loads(next(line for line in said.splitlines() if line.startswith('{"status"')))
    assert answer["status"] == 200, answer
    assert answer["body"]["model"] == {"name": "churn", "version": "1"}
    assert "records in 1 files, unbroken" in said
    for expected in (
        "secureml.toml root:secureml 640",
        "keys/audit.key secureml:secureml 600",
        "store/secureml.db secureml:secureml 600",
        "store/budgets.db secureml:secureml 600",
        "store/audit-head secureml:secureml 600",
        "models root:secureml 750",
        "/etc/nginx/deploy/nginx/edge_token.conf root:root 600",
        "left of the budget: 41",
    ):
        assert expected in said, said[-4000:]
