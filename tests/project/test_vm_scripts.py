"""The scripts of deploy/vm: what they say of themselves, and the parts that need no machine.

All of them are run on a Debian in tests/live/test_vm_install.py.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from secureml.cli.backup import SYSTEM

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "deploy" / "vm"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
RENEW = runpy.run_path(str(FOLDER / "private_certificate.py"))["renew"]
MADE = datetime(2026, 5, 1, tzinfo=UTC)
HOSTS = ["ml.example.org", "192.0.2.7"]


def text(name: str) -> str:
    return (CHECKOUT / name).read_text("utf-8")


def bash(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script, "test", *words], capture_output=True, text=True, timeout=60,
        check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(script: Path) -> None:
    done = bash('bash -n "$1"', str(script))
    assert (done.returncode, done.stderr) == (0, "")


def test_each_option_of_the_installation_is_in_its_help_and_on_the_page() -> None:
    source = text("deploy/vm/install.sh")
    options = set(re.findall(r"^        (--[a-z-]+)\)", source, re.MULTILINE))
    assert len(options) > 8
    head = source.partition("set -E")[0]
    assert [option for option in sorted(options) if option not in head] == []
    table = text("docs/install.md").partition("\n## ")[0]
    assert [option for option in sorted(options) if f"`{option}" not in table] == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--hots", "x"], "unknown option --hots"),
        (["--host"], "--host needs a name"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_done(words: list[str], fault: str) -> None:
    done = bash('"$@"', str(FOLDER / "install.sh"), *words)
    assert done.returncode != 0
    assert fault in done.stderr


def test_what_the_installation_places_outside_the_instance_is_backed_up() -> None:
    """Or a restored machine would lack it."""
    placed = {"/etc/secureml", "/etc/letsencrypt", "/etc/nginx/deploy", "/etc/nginx/nginx.conf",
              "/etc/logrotate.d/secureml"}  # fmt: skip
    named = "\n".join(script.read_text("utf-8") for script in SCRIPTS)
    assert [path for path in sorted(placed) if path not in named] == []
    assert {path.removeprefix("/") for path in placed} <= set(SYSTEM)
    assert "etc/systemd/system/certbot.service.d/secureml.conf" in SYSTEM


def test_the_name_of_a_release_follows_from_what_is_in_it(tmp_path: Path) -> None:
    for name in ("deploy", "docs", "plugins", "script", "secureml"):
        (tmp_path / name).mkdir()
    for name in ("README.md", "nginx.conf", "requirements.txt", "wsgi.py"):
        (tmp_path / name).touch()
    (tmp_path / "pyproject.toml").write_text('version = "1.2.3"\n')
    name_it = f'. {FOLDER}/release.sh && release_name "$1"'
    first = bash(name_it, str(tmp_path)).stdout.strip()
    assert re.fullmatch(r"1\.2\.3-[0-9a-f]{12}", first)
    (tmp_path / "secureml/__pycache__").mkdir()
    (tmp_path / "secureml/__pycache__/x.pyc").touch()
    assert bash(name_it, str(tmp_path)).stdout.strip() == first
    (tmp_path / "secureml/x.py").touch()
    assert bash(name_it, str(tmp_path)).stdout.strip() not in ("", first)


@pytest.mark.parametrize(
    ("output", "explained"),
    [
        ("  Type:   dns\n  Detail: NXDOMAIN looking up A for x", "finds no address for h.example"),
        ("  Type:   connection\n  Detail: Timeout during connect", "cannot reach port 80"),
        ("  Type:   unauthorized\n  Detail: Invalid response: 404", "another machine answers"),
        ("Error creating new order :: too many certificates", "issued or refused too much"),
        ("acme:error:caa :: CAA record for x prevents issuance", "CAA record"),
        ("ssl.SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "--acme-ca FILE"),
        ("requests.exceptions.ConnectionError: Max retries exceeded", "cannot be reached"),
        ("something new", "issued no certificate: something new"),
    ],
)
def test_a_refusal_of_the_authority_is_explained(output: str, explained: str) -> None:
    script = f"""
        . {FOLDER}/steps.sh; . {FOLDER}/certificate.sh; trap - ERR
        host=h.example acme_server=; explain_refusal "$1"
    """
    done = bash(script, output)
    assert done.returncode == 1
    assert explained in done.stderr
    assert "  fix: " in done.stderr


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="it compares versions with dpkg")
@pytest.mark.parametrize(
    ("version", "code", "said"),
    [
        ("2.1.0", 1, "too old for a certificate of an address"),
        ("5.8.0", 0, "--ip-address 192.0.2.7 --preferred-profile shortlived"),
    ],
)
def test_an_address_takes_a_certbot_that_can_prove_one(version: str, code: int, said: str) -> None:
    script = f"""
        . {FOLDER}/steps.sh; . {FOLDER}/certificate.sh; trap - ERR
        log=/dev/stderr host=192.0.2.7 email= acme_server=
        certbot() {{ [ "$1" = --version ] && echo "certbot {version}" || echo "$*"; }}
        run_certbot
    """
    done = bash(script)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert " -d " not in done.stderr


def test_a_private_certificate_is_made_once_and_renewed_before_its_end(tmp_path: Path) -> None:
    assert RENEW(tmp_path, HOSTS, MADE)
    first = (tmp_path / "server.crt").read_bytes()
    assert not RENEW(tmp_path, [], MADE + timedelta(days=334))
    assert (tmp_path / "server.crt").read_bytes() == first
    authority = (tmp_path / "ca.crt").read_bytes()
    assert RENEW(tmp_path, [], MADE + timedelta(days=336))
    renewed = x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes())
    assert renewed.not_valid_after_utc > MADE + timedelta(days=690)
    names = renewed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == HOSTS
    assert (tmp_path / "ca.crt").read_bytes() == authority  # what clients trust
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600


def test_a_private_certificate_for_another_name_is_made_anew(tmp_path: Path) -> None:
    assert RENEW(tmp_path, HOSTS[:1], MADE)
    assert RENEW(tmp_path, HOSTS[1:], MADE)
    with pytest.raises(FileNotFoundError):
        RENEW(tmp_path / "empty", [], MADE)
