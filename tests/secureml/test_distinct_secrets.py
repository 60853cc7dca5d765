"""Two settings that share one secret stop the start, and the secret is not told."""

from __future__ import annotations

import pytest

from secureml import ConfigError
from secureml.core import build_core

SECRET = "a" * 64


def refusal(instance):
    with pytest.raises(ConfigError) as refused:
        build_core(instance)
    assert SECRET not in str(refused.value)
    return refused.value


def test_attack_the_edge_token_is_not_the_audit_key_by_its_place(fresh_instance):
    file = fresh_instance / "secureml.toml"
    file.write_text(file.read_text().replace("file:keys/edge-token", "file:keys/audit.key"))
    emitted = refusal(fresh_instance)
    assert (emitted.table, emitted.key) == ("plugins.audit_log", "key")
    assert "[plugins.transport] edge_token" in emitted.message
    assert emitted.fix


@pytest.mark.parametrize("end", ["", "\n"])
def test_attack_the_edge_token_is_not_the_audit_key_by_its_value(fresh_instance, end):
    (fresh_instance / "keys/edge-token").write_text(SECRET)
    (fresh_instance / "keys/audit.key").write_text(SECRET + end)
    assert "the same secret" in refusal(fresh_instance).message


def test_a_copy_in_the_environment_is_the_same_secret(fresh_instance, monkeypatch):
    token = (fresh_instance / "keys/edge-token").read_text()
    monkeypatch.setenv("AUDIT_KEY", token)
    file = fresh_instance / "secureml.toml"
    file.write_text(file.read_text().replace("file:keys/audit.key", "env:AUDIT_KEY"))
    assert "the same secret" in refusal(fresh_instance).message


def test_secrets_as_init_makes_them_start(fresh_instance):
    build_core(fresh_instance).close()
