"""The [secrets] tables: what they say, and what stops the start."""

from __future__ import annotations

import pytest

from secureml import ConfigError, settings
from secureml.state.secrets.aws import AwsOptions
from secureml.state.secrets.references import RefreshPolicy, SecretOptions
from secureml.state.secrets.vault import VaultOptions

ROOT = '[secureml]\nplugins = ["anonymous"]\n'


def read(folder, text=""):
    (folder / "secureml.toml").write_text(ROOT + text)
    return settings.read(folder).secrets


def refusal(folder, text):
    with pytest.raises(ConfigError) as refused:
        read(folder, text)
    return str(refused.value).partition(": ")[2]


def test_without_a_table_there_are_defaults_and_no_manager(tmp_path):
    """A minute, ten minutes, a day, ninety days."""
    assert read(tmp_path) == SecretOptions(
        RefreshPolicy(60.0, 600.0, 86400.0), 90 * 86400.0, None, None
    )


def test_everything_may_be_said(tmp_path):
    """A path to a certificate authority is under the instance folder, unless it is absolute."""
    found = read(
        tmp_path,
        """
[secrets]
refresh = "5s"
overlap = "0s"
max_age = "1h"
warn_age = "30d"
[secrets.vault]
url = "https://vault.example.org:8200"
auth = "approle"
role_id = "file:keys/role-id"
secret_id = "systemd:vault-secret-id"
mount = "team/approle"
namespace = "ml"
ca_file = "vault.pem"
[secrets.aws]
region = "eu-central-1"
endpoint_url = "https://vpce.example.org"
""",
    )

    assert found.live == RefreshPolicy(5.0, 0.0, 3600.0)
    assert found.warn_age == 30 * 86400.0
    assert found.vault == VaultOptions(
        "https://vault.example.org:8200",
        "approle",
        "",
        "file:keys/role-id",
        "systemd:vault-secret-id",
        "team/approle",
        "ml",
        str(tmp_path / "vault.pem"),
    )
    assert found.aws == AwsOptions("eu-central-1", "https://vpce.example.org")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[secrets]\nrefresh = "0s"\n', "refresh"),
        ("[secrets]\nrefresh = 60\n", "refresh"),
        ('[secrets]\nmax_age = "2m"\n', "max_age"),
        ('[secrets]\nunknown = "x"\n', "unknown"),
        ("[secrets]\nvault = 1\n", "vault"),
        ("[secrets.vault]\n", "vault.url"),
        ('[secrets.vault]\nurl = "https://v"\n', "vault.token"),
        ('[secrets.vault]\nurl = "https://v"\ntoken = "s.literal"\n', "vault.token"),
        ('[secrets.vault]\nurl = "https://v"\ntoken = "vault:kv/a#b"\n', "vault.token"),
        ('[secrets.vault]\nurl = "https://v"\ntoken = "aws:x"\n', "vault.token"),
        ('[secrets.vault]\nurl = "https://v"\nauth = "approle"\n', "vault.role_id"),
        ('[secrets.vault]\nurl = "https://v"\ntoken = "env:A"\nrole_id = "env:B"', "vault.role_id"),
        ('[secrets.vault]\nurl = "https://v"\ntoken = "env:A"\nauth = "ldap"\n', "vault.auth"),
        ('[secrets.vault]\nurl = "https://v"\ntoken = "env:A"\nmount = "../x"\n', "vault.mount"),
        ('[secrets.vault]\nurl = "https://v"\ntoken = "env:A"\nmount = "a b"\n', "vault.mount"),
        ('[secrets.vault]\nurl = ""\ntoken = "env:A"\n', "vault.url"),
        ('[secrets.vault]\nurl = "http://vault.example.org"\ntoken = "env:A"\n', "vault.url"),
        ('[secrets.aws]\nregion = "eu-x"\nendpoint_url = "http://e.org"\n', "aws.endpoint_url"),
        ("[secrets.aws]\n", "aws.region"),
        ('[secrets.aws]\nregion = "EU"\n', "aws.region"),
        ('[secrets.aws]\nregion = "eu.example.org/"\n', "aws.region"),
        ('[secrets.gcp]\nregion = "x"\n', "gcp"),
    ],
)  # fmt: skip
def test_what_does_not_fit_stops_the_start_and_names_the_key(tmp_path, text, key):
    """A literal is not repeated."""
    line = refusal(tmp_path, text)

    assert line.startswith(f"[secrets] {key}: ")
    assert "s.literal" not in line
