"""What the containers of a pod share, made by deploy/kubernetes/base/prepare_pod.py."""

from __future__ import annotations

import os
import runpy
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from secureml import layout, trusted_paths
from secureml.config_error import ConfigError
from secureml.trusted_paths import TrustedPaths

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = runpy.run_path(str(CHECKOUT / "deploy/kubernetes/base/prepare_pod.py"))
NOW = datetime(2026, 1, 31, tzinfo=UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def volumes(tmp_path):
    """Two volumes as Kubernetes makes them: open to everybody, and of the pod's group."""
    for name in ("instance", "records"):
        (tmp_path / "volumes" / name).mkdir(parents=True)
        (tmp_path / "volumes" / name).chmod(0o2777)
    return tmp_path / "volumes"


@pytest.fixture
def models(tmp_path):
    """Sealed models as an image brings them."""
    version = tmp_path / "models" / "churn" / "1"
    version.mkdir(parents=True)
    (version / "model.json").write_text("{}")
    (version / "model.json").chmod(0o440)
    version.chmod(0o550)
    return tmp_path / "models"


def make(volumes, models, passwords=Path("/nowhere")):
    PROGRAM["make_folders"](volumes, models, passwords)
    return volumes / "instance" / "instance"


def test_the_start_accepts_the_folders(volumes, models):
    """Whose parent, the volume, it would refuse."""
    instance = make(volumes, models)
    layout.check_modes(instance)
    paths = TrustedPaths(trusted_paths.owners(instance))
    for path in [instance, *instance.rglob("*")]:
        paths._check(path, path_above=False)
    for entry in layout.FOLDERS:
        layout.check_mode(volumes / "records" / entry.path, entry.what, entry.mode)
    layout.check_mode(volumes / "records/store", "the store", 0o700)
    with pytest.raises(ConfigError, match="lets others in"):
        layout.check_modes(volumes / "instance")


def test_every_folder_of_an_instance_that_holds_something_is_made(volumes, models):
    instance = make(volumes, models)
    unused = {"keys/signing", "tls"}
    missing = {entry.path for entry in layout.FOLDERS if not (instance / entry.path).is_dir()}
    assert missing == unused
    for entry in layout.FOLDERS:
        if entry.path not in unused:
            assert mode(instance / entry.path) == entry.mode, entry.path


def test_a_volume_that_is_not_mounted_is_not_made(tmp_path, models):
    (tmp_path / "volumes" / "instance").mkdir(parents=True)
    make(tmp_path / "volumes", models)
    assert not (tmp_path / "volumes" / "records").exists()


def test_it_runs_again_over_what_it_made(volumes, models):
    """After the restart of a node, with other models in the image."""
    instance = make(volumes, models)
    (models / "churn").rename(models / "fraud")
    make(volumes, models)
    assert [path.name for path in (instance / "models").iterdir()] == ["fraud"]
    assert (instance / "models/fraud/1/model.json").read_text() == "{}"
    assert mode(instance / "models/fraud/1/model.json") == 0o440


def test_models_that_cannot_be_read_end_the_pod(volumes, models, monkeypatch):
    """A pod without them would start, and answer that there is no model."""
    real = os.scandir

    def refuse(path="."):
        if Path(path).name == "1":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        make(volumes, models)


def test_the_password_file_is_for_its_owner_alone(volumes, models, tmp_path):
    """libpq ignores one that its group can read, as a mounted Secret is."""
    (tmp_path / "pgpass").write_text("*:*:*:*:secret")
    (tmp_path / "pgpass").chmod(0o440)
    instance = make(volumes, models, tmp_path / "pgpass")
    assert mode(instance / "keys/pgpass") == 0o600
    assert (instance / "keys/pgpass").read_text() == "*:*:*:*:secret"


def write(instance: Path, proxies: str = "") -> Path:
    nginx = CHECKOUT / "deploy/nginx"
    PROGRAM["write_nginx_files"](instance, nginx, proxies, "client_max_body_size 1;\n", NOW)
    return instance / "nginx"


def test_nginx_gets_the_settings_and_the_shipped_limits(volumes, models):
    folder = write(make(volumes, models))
    assert (folder / "application.conf").read_text() == "client_max_body_size 1;\n"
    shipped = (CHECKOUT / "deploy/nginx/ceilings.conf").read_bytes()
    assert (folder / "ceilings.conf").read_bytes() == shipped
    assert {mode(path) for path in folder.iterdir()} == {0o440}


def test_the_address_of_a_client_comes_from_the_named_proxies_alone(volumes, models):
    folder = write(make(volumes, models), "10.244.0.0/16 fd00::/64")
    lines = (folder / "ceilings.conf").read_text().splitlines()[-3:]
    assert lines == [
        "set_real_ip_from 10.244.0.0/16;",
        "set_real_ip_from fd00::/64;",
        "real_ip_header X-Forwarded-For;",
    ]


@pytest.mark.parametrize("proxies", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "gateway", "10.0.0.0/8;"])
def test_networks_that_are_none_or_everybody_are_refused(volumes, models, proxies):
    instance = make(volumes, models)
    with pytest.raises(PROGRAM["Refused"], match=r"TRUSTED_PROXIES.*fix: "):
        write(instance, proxies)
    assert not list((instance / "nginx").iterdir())


def test_the_certificate_for_kubelets_names_nobody(volumes, models):
    folder = write(make(volumes, models))
    certificate = x509.load_pem_x509_certificate((folder / "health.crt").read_bytes())
    key = load_pem_private_key((folder / "health.key").read_bytes(), None)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=health"
    assert not list(certificate.extensions)
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_strangers_get_the_files_that_were_made(volumes, models):
    folder = write(make(volumes, models))
    for line in (folder / "strangers.conf").read_text().splitlines():
        if not line.startswith("#"):
            assert (folder / Path(line.split()[1].rstrip(";")).name).exists()


@pytest.mark.parametrize("words", [[], ["both"], ["folders", "nginx"]])
def test_what_it_does_not_know_is_answered_with_its_usage(words, capsys):
    assert PROGRAM["main"](words) == 2
    assert "usage" in capsys.readouterr().err


def test_a_fault_is_one_line(monkeypatch, capsys):
    """`secureml nginx-conf` says what is wrong with the settings."""
    monkeypatch.setenv("SECUREML_INSTANCE", "/nowhere")
    monkeypatch.setitem(PROGRAM["main"].__globals__, "nginx_conf", _refuse)
    assert PROGRAM["main"](["nginx"]) == 1
    assert capsys.readouterr().err == "prepare_pod: a wrong setting; fix: another\n"


def _refuse() -> str:
    raise PROGRAM["Refused"]("a wrong setting; fix: another")
