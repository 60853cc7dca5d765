"""Secrets in real managers: read, rotated under a running server, and survived when away."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import boto3
import hvac
import pytest
from live_managers import READ_ONLY, ROOT, Bao, OnGunicorn, Program, configured, secret_file
from live_servers import CHECKOUT, free_port
from live_serving import Instance, command, until

from secureml.state.secrets import references
from secureml.state.secrets.aws import AwsOptions
from secureml.state.secrets.references import RefreshPolicy, SecretOptions, SecretSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

INSTALL = "run script/test, which installs tests/requirements-managers.txt"
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]) -> Iterator[Bao]:
    server = Bao(tmp_path_factory.mktemp("bao"), tool("bao", INSTALL))
    yield server
    server.stop()


@pytest.fixture
def site(prepared: Instance, tmp_path: Path) -> Instance:
    """An instance that may be changed."""
    return prepared.copy(tmp_path / "i")


def by_token(bao: Bao, instance: Instance, reference: str = "vault:secret/edge#token") -> Path:
    token = secret_file(instance.folder, "bao-token", bao.token)
    tables = f'[secrets]\nrefresh = "1s"\n[secrets.vault]\nurl = "{bao.url}"\ntoken = "{token}"\n'
    return configured(instance, reference, tables)


def by_role(bao: Bao, instance: Instance) -> Path:
    role_id = secret_file(instance.folder, "role-id", bao.role_id)
    secret_id = secret_file(instance.folder, "secret-id", bao.secret_id)
    return configured(
        instance,
        "vault:secret/edge#token",
        f'[secrets]\nrefresh = "1s"\n[secrets.vault]\nurl = "{bao.url}"\nauth = "approle"\n'
        f'role_id = "{role_id}"\nsecret_id = "{secret_id}"\n',
    )


@pytest.mark.parametrize("login", [by_token, by_role])
def test_a_secret_is_read_under_a_read_only_policy(
    bao: Bao, site: Instance, login: Callable[[Bao, Instance], Path]
) -> None:
    """With a token and with AppRole; `check` tells its age and never what it is."""
    bao.put("first-edge-token")
    folder = login(bao, site)
    done = command(folder, "check", "--json")

    assert done.returncode == 0, done.stderr
    found = {row["key"]: row for row in json.loads(done.stdout)["secrets"]}
    assert 0 <= found["edge_token"]["age"] < 600
    for value in ("first-edge-token", bao.token, bao.secret_id, ROOT):
        assert value not in done.stdout + done.stderr


def test_what_our_login_may_do_is_read(bao: Bao) -> None:
    """The policy of the documentation: it cannot write, list or see its neighbours."""
    assert READ_ONLY in (CHECKOUT / "docs/secrets.md").read_text()
    ours = hvac.Client(url=bao.url, token=bao.token).secrets.kv.v2
    with pytest.raises(hvac.exceptions.Forbidden):
        ours.create_or_update_secret("edge", secret={"token": "x"})
    with pytest.raises(hvac.exceptions.Forbidden):
        ours.list_secrets("")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("vault:secret/other#token", "Vault denies reading secret/other"),
        ("vault:secret/edge#absent", "has no field 'absent'"),
        ("vault:nowhere/edge#token", "Vault denies reading nowhere/edge"),
    ],
)
def test_what_cannot_be_read_stops_the_start_with_one_line(
    bao: Bao, site: Instance, reference: str, says: str
) -> None:
    """File, table, key, fault and fix."""
    folder = by_token(bao, site, reference)
    done = command(folder, "check")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"secureml: {folder}/secureml.toml: [plugins.transport] edge_token: ")
    assert says in line
    assert "; fix: " in line
    assert bao.token not in line


def test_a_manager_that_is_not_there_stops_the_start_with_one_line(
    bao: Bao, site: Instance
) -> None:
    """Within a few seconds, and a server that never had the secret serves nobody."""
    folder = by_token(bao, site)
    file = folder / "secureml.toml"
    file.write_text(file.read_text().replace(bao.url, f"http://127.0.0.1:{free_port()}"))
    done = command(folder, "check")

    assert done.returncode == 2
    assert "Vault cannot be read (ConnectionError)" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("login", [by_token, by_role])
def test_a_value_rotated_at_the_manager_reaches_the_running_server(
    bao: Bao, site: Instance, login: Callable[[Bao, Instance], Path]
) -> None:
    """In both workers, without a restart and without refusing the one before; and an outage
    between two rotations is nobody's outage but the manager's."""
    bao.put("first-edge-token")
    server = OnGunicorn(login(bao, site))
    try:
        assert server.everywhere("first-edge-token", 200)
        assert server.everywhere("second-edge-token", 403)

        bao.put("second-edge-token")
        assert until(lambda: server.everywhere("second-edge-token", 200), 15)
        assert server.everywhere("first-edge-token", 200)

        bao.away()
        assert until(lambda: server.output.count("its last value stays in use") == 2, 15)
        assert server.everywhere("second-edge-token", 200)
        assert server.everywhere("wrong-edge-token", 403)
        bao.back()

        bao.put("third-edge-token")
        assert until(lambda: server.everywhere("third-edge-token", 200), 15)
        assert server.everywhere("second-edge-token", 200)
        assert server.everywhere("first-edge-token", 403)
    finally:
        bao.back()
        server.stop()
    for value in ("first-edge", "second-edge", "third-edge", bao.token, bao.secret_id):
        assert value not in server.output


# -- AWS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto(
    tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Iterator[str]:
    """AWS Secrets Manager as moto plays it."""
    port = free_port()
    program = [tool("moto_server", INSTALL), "-H", "127.0.0.1", "-p", str(port)]
    server = Program(program, tmp_path_factory.mktemp("moto"))
    server.answers(f"http://127.0.0.1:{port}/moto-api/")
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a fresh secret, and an identity to read it with."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    name = f"edge/{request.node.name.partition('[')[0]}"
    _region(moto).create_secret(Name=name, SecretString='{"token": "first-edge-token"}')
    return name


def _region(moto: str):  # type: ignore[no-untyped-def]  # boto3 makes its clients at run time
    return boto3.client("secretsmanager", region_name="eu-central-1", endpoint_url=moto)


def test_an_aws_secret_rotates_under_the_one_who_follows_it(
    moto: str, aws: str, tmp_path: Path
) -> None:
    """By the thread alone; both values match, then the manager goes away and comes back."""
    terms = SecretOptions(RefreshPolicy(refresh=0.1), aws=AwsOptions("eu-central-1", moto))
    references.configure(tmp_path, terms)
    live = SecretSource(f"aws:{aws}#token").watch(tmp_path)
    try:
        assert live.current().reveal() == b"first-edge-token"
        _region(moto).put_secret_value(SecretId=aws, SecretString='{"token": "second"}')

        assert until(lambda: live.current().reveal() == b"second")
        assert live.matches_any(b"first-edge-token")
        assert live.matches_any(b"second")
        assert not live.matches_any(b"third")
    finally:
        live.close()


def test_an_aws_secret_opens_the_whole_application(moto: str, aws: str, site: Instance) -> None:
    """`check` goes through the start with it, and a name that is none stops it."""
    tables = f'[secrets.aws]\nregion = "eu-central-1"\nendpoint_url = "{moto}"\n'
    folder = configured(site, f"aws:{aws}#token", tables)
    done = command(folder, "check", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["secrets"][0]["age"] is not None
    assert "first-edge" not in done.stdout

    file = folder / "secureml.toml"
    file.write_text(file.read_text().replace(f"aws:{aws}", "aws:absent"))
    done = command(folder, "check")
    assert done.returncode == 2
    assert "AWS refused the secret absent (ResourceNotFoundException)" in done.stderr


# -- systemd -------------------------------------------------------------------------------------


def test_a_credential_of_systemd_opens_the_running_server(site: Instance, tmp_path: Path) -> None:
    """As LoadCredential= leaves it; and a file that is swapped reaches both workers."""
    folder = tmp_path / "credentials"
    folder.mkdir(0o700)
    credential = folder / "edge-token"
    credential.write_text("first-edge-token\n")
    credential.chmod(0o400)
    instance = configured(site, "systemd:edge-token", "")
    server = OnGunicorn(instance, CREDENTIALS_DIRECTORY=str(folder))
    try:
        assert server.everywhere("first-edge-token", 200)
        new = folder / "new"
        new.write_text("second-edge-token\n")
        new.chmod(0o400)
        new.rename(credential)
        assert server.everywhere("second-edge-token", 200)  # at once: it is offered
        assert server.everywhere("first-edge-token", 200)
        assert server.everywhere("wrong-edge-token", 403)
    finally:
        server.stop()


def test_a_plain_start_loads_no_library_of_a_manager() -> None:
    """Whoever has no such reference pays nothing for them."""
    import subprocess

    words = "import secureml.app, sys; print([n for n in ('hvac', 'boto3') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", words], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
