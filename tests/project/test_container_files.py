"""deploy/container beside what it is made of: nothing is forgotten, left open or said twice."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from secureml.pipeline import builtin_plugins

CHECKOUT = Path(__file__).resolve().parents[2]
CONTAINER = CHECKOUT / "deploy" / "container"
DOCKERFILE = (CONTAINER / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((CONTAINER / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]


def copied() -> set[str]:
    """Return what the Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {word for line in lines for word in line.split()[:-1]}


def test_every_stage_begins_with_the_base_and_names_a_user():
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert {base for base, _ in stages} == {"${BASE}"}
    for target in ("app", "nginx"):
        stage = DOCKERFILE.partition(f"AS {target}\n")[2].partition("\nFROM ")[0]
        assert re.search(r"^USER 1000[12]:10001$", stage, re.MULTILINE)
        assert re.search(r'^ENTRYPOINT \["/', stage, re.MULTILINE)  # no shell before it
        assert re.search(r'^HEALTHCHECK .*\n +CMD \["', stage, re.MULTILINE)
    assert "ADD " not in DOCKERFILE


def test_what_is_copied_may_be_seen_and_nothing_else():
    ignored = (CONTAINER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    seen = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for name in copied():
        assert any(Path(name).is_relative_to(place) for place in seen), name
    for place in seen:
        assert (CHECKOUT / place).exists(), place
        assert any(
            Path(name).is_relative_to(place) or Path(place).is_relative_to(name)
            for name in copied()
        ), place


def test_the_nginx_image_has_every_include_of_the_configuration():
    text = (CHECKOUT / "nginx.conf").read_text("utf-8")
    wanted = set(re.findall(r"^ *include deploy/nginx/(\S+);", text, re.MULTILINE))
    there = {path.name for path in (CHECKOUT / "deploy/nginx").glob("*.conf")}
    assert wanted <= there
    ours = {path.name for path in (CONTAINER / "nginx").glob("*.conf")}
    production = {path.name for path in (CHECKOUT / "deploy/nginx/production").glob("*.conf")}
    # What differs on a production machine differs in a container, too. Two are alike in both.
    assert ours == production - {"client_certificates.conf", "status.conf"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_confined_and_limited(service):
    found = SERVICES[service]
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["mem_limit"]
    assert found["cpus"]
    assert found["pids_limit"] <= 128
    assert "/tmp" in found["tmpfs"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"} & set(found)
    assert ("ports" in found) == (service == "nginx")
    assert found["networks"] == (["outside"] if service == "nginx" else ["inside"])


def test_the_network_of_the_application_has_no_way_out():
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_secrets_are_files_of_the_site_and_no_value_is_written_out():
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"${{SITE}}/secrets/{name}"}
    used = {name for service in SERVICES.values() for name in service["secrets"]}
    assert used == set(COMPOSE["secrets"])
    script = (CONTAINER / "prepare").read_text("utf-8")
    assert (
        set(re.findall(r"^.*\| *$|secret ([a-z-]+) \d+:\d+", script, re.MULTILINE)) - {""} == used
    )
    said = {key for service in SERVICES.values() for key in service.get("environment", {})}
    assert not {key for key in said if re.search("(PASSWORD|TOKEN|SECRET)$", key)}


def test_the_settings_have_the_default_plugins_and_the_services_of_compose():
    settings = tomllib.loads((CONTAINER / "secureml.toml").read_text("utf-8"))
    assert settings["secureml"]["plugins"] == list(builtin_plugins.DEFAULT)
    assert settings["secureml"]["profile"] == "production"
    assert "@postgres/" in settings["store"]["url"]
    assert settings["plugins"]["rate_limit"]["redis"].startswith("redis://redis:")
    mounted = {f"systemd:{name}" for name in SERVICES["app"]["secrets"]}
    assert settings["plugins"]["transport"]["edge_token"] in mounted
    assert settings["plugins"]["rate_limit"]["redis_password"] in mounted


def test_the_limits_of_the_live_tests_are_those_of_the_page():
    """What is shown must be what is recommended."""
    found = re.search(r"^HARDENED = \((.*?)^\)", _read("tests/live/live_containers.py"),
                      re.MULTILINE | re.DOTALL)  # fmt: skip
    page = _read("docs/containers.md")
    (options,) = re.findall(r"^options='(.+)'$", page, re.MULTILINE)
    assert options.split() == re.findall(r'"([^"]+)"', found[1])


def _read(name):
    return (CHECKOUT / name).read_text("utf-8")
