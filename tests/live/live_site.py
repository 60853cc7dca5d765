"""A machine on which install.sh has run, with pebble as certificate authority, and a model."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import joblib
import pandas as pd
from live_servers import CHECKOUT
from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from live_machine import Machine

HOST = "ml.example.org"
PREDICT = "/v1/models/churn/predict"
INSTALL = "/mnt/checkout/deploy/vm/install.sh"
UNINSTALL = "/mnt/checkout/deploy/vm/uninstall.sh"
MODEL = "--model /mnt/shared/churn.joblib --data /mnt/shared/training.csv --target churned"
AUTHORITY = "--acme-server https://127.0.0.1:14000/dir --acme-ca /mnt/shared/pebble.crt"
LINE = f"{INSTALL} --host {HOST} {MODEL} {AUTHORITY} --extra lz4"
KEY = re.compile(r"sml_[\w-]+")
PEBBLE = {
    "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
    "certificate": "pebble.crt", "privateKey": "pebble.key", "httpPort": 80, "tlsPort": 443,
    "ocspResponderURL": "", "externalAccountBindingRequired": False,
    "certificateValidityPeriod": 10 * 86400,
}  # fmt: skip
# A name server that knows no name yet; the authority asks it.
NAMES = (
    "pebble-challtestsrv -dns01 127.0.0.1:8053 -management 127.0.0.1:8055 -defaultIPv4= "
    "-defaultIPv6= -http01= -https01= -tlsalpn01="
)
RETRY = "curl -s --retry 50 --retry-delay 1 --retry-all-errors"
GIVE_ADDRESS = (
    f"""curl -s -d '{{"host":"{HOST}","addresses":["127.0.0.1"]}}' http://127.0.0.1:8055/add-a"""
)
# Whatever an installation may change, by its name, owner, mode and time.
STATE = """find /etc /opt /usr/local /var/lib/secureml \\( -path '*/store' -o -path '*/logs' \
    -o -path '*/run' -o -path '/etc/letsencrypt' -o -path /etc/secureml/installed \\) -prune -o \
    ! -type d -printf '%p %U %G %m %T@\\n' | sort"""


class Site(NamedTuple):
    """An installed machine: what three runs of install.sh said, and the key of the client."""

    machine: Machine
    refused: subprocess.CompletedProcess[str]
    installed: str
    seconds: float
    again: str
    state: tuple[set[str], set[str]]  # of its files, before and after the third run
    key: str

    @property
    def request(self) -> dict[str, Any]:
        body = json.dumps({"instances": [[34.0, 2.0]]})
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        trust = str(self.machine.shared / "root.pem")
        return {"host": HOST, "path": PREDICT, "headers": headers, "body": body, "trust": trust}

    def ask(self, machine: Machine, key: str = "") -> str:
        """Return status and body of a prediction, asked by curl in a machine."""
        words = ["curl", "-s", "-w", " %{http_code}", "--cacert", "/mnt/shared/root.pem"]
        words += ["--resolve", f"{HOST}:443:127.0.0.1", "-H", f"X-API-Key: {key or self.key}"]
        words += ["-H", "Content-Type: application/json", "-d", '{"instances": [[34.0, 2.0]]}']
        return machine.must(shlex.join([*words, f"https://{HOST}{PREDICT}"]))


def bring(folder: Path) -> None:
    """Leave a model, its table and the authority's own certificate, as an operator would."""
    table = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0] * 10, "calls": [0.0, 1.0, 2.0, 3.0] * 10})
    table["churned"] = [0, 0, 1, 1] * 10
    features = table[["age", "calls"]].to_numpy()
    joblib.dump(LogisticRegression().fit(features, table["churned"]), folder / "churn.joblib")
    table.to_csv(folder / "training.csv", index=False)
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    words += ["-nodes", "-days", "2", "-subj", "/CN=pebble", "-addext"]
    words += ["subjectAltName=IP:127.0.0.1", "-keyout", "pebble.key", "-out", "pebble.crt"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=30)
    (folder / "pebble.json").write_text(json.dumps({"pebble": PEBBLE}))


@contextmanager
def authority(machine: Machine) -> Iterator[None]:
    """Run pebble and its name server in the network of a machine; leave its root in root.pem."""
    environment = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    words = [NAMES, "pebble -config pebble.json -dnsserver 127.0.0.1:8053"]
    with (machine.folder / "pebble.log").open("wb") as log:
        options = {"cwd": machine.shared, "env": environment, "stdout": log, "stderr": log}
        started = [machine.beside(*line.split(), **options) for line in words]
    try:
        machine.must(f"""
            cd /mnt/shared
            {RETRY} --cacert pebble.crt https://127.0.0.1:15000/roots/0 -o root.pem
            {RETRY} http://127.0.0.1:8055/
        """)
        yield
    finally:
        for process in started:
            process.terminate()
            process.wait()


@contextmanager
def installed(machine: Machine) -> Iterator[Site]:
    """Install: first while the name leads nowhere, then as it should be, then once more."""
    bring(machine.shared)
    with machine, authority(machine):
        begin = time.monotonic()
        refused = machine.run(f"TIMEFORMAT='processor: %U + %S s'\ntime {LINE}")
        machine.must(GIVE_ADDRESS)
        installed = machine.must(LINE)
        seconds = time.monotonic() - begin
        machine.must("cp -al /opt /var/installed")  # for a second machine
        before = set(machine.must(STATE).splitlines())
        again = machine.must(LINE)
        key = KEY.search(installed)
        assert key is not None, installed
        state = before, set(machine.must(STATE).splitlines())
        yield Site(machine, refused, installed, seconds, again, state, key.group())


def failed(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer for answer in answers if answer.get("status") != 200]


def lines(heading: str) -> str:
    """Return what docs/install.md has one type under a heading."""
    page = (CHECKOUT / "docs/install.md").read_text("utf-8")
    section = re.split(r"^#{2,3} ", page.partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert blocks, heading
    return "".join(blocks)
