"""What is said twice is the same twice: nginx.conf, Gunicorn, the units, settings and docs."""

from __future__ import annotations

import ast
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

from secureml.settings_schema import TABLES

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEMD = CHECKOUT / "deploy" / "systemd"
KIB = 1024
APPLICATION = "deploy/nginx/application.conf"


def text(name: str) -> str:
    return (CHECKOUT / name).read_text("utf-8")


def lines(pattern: str, place: str) -> list[str]:
    """Return what a pattern catches on each line of a file that it fits."""
    return re.findall(rf"^{pattern}$", text(place), re.MULTILINE)


def number(pattern: str, place: str) -> int:
    """Return the one number that stands behind a word in a file."""
    found = re.findall(pattern, text(place), re.MULTILINE)
    assert len(found) == 1, (place, pattern, found)
    return int(found[0])


def default(table: str, key: str) -> Any:
    return TABLES[table]().fields[key].load_default


@pytest.fixture(scope="module")
def gunicorn() -> dict[str, Any]:
    """The constants of deploy/gunicorn.conf.py, read and not run: running it has effects."""
    found = {}
    for node in ast.parse(text("deploy/gunicorn.conf.py")).body:
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        try:
            found[ast.unparse(target)] = ast.literal_eval(node.value)
        except ValueError:
            continue
    return found


@pytest.fixture(scope="module")
def limits() -> dict[str, str]:
    """The table of limits in docs/api.md: what, and its default."""
    table = text("docs/api.md").split("## Limits")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| ([a-z ]+) \| ([^|]+) \|", table, re.MULTILINE))


def test_nginx_lets_in_as_large_a_body_as_the_application_reads(limits: dict[str, str]) -> None:
    mebibytes = number(r"client_max_body_size (\d+);", APPLICATION) // KIB // KIB
    assert default("payload", "body") == mebibytes * KIB * KIB
    assert limits["body"] == f"{mebibytes} MiB"


def test_no_page_sends_people_to_write_by_hand_what_application_conf_has() -> None:
    """A page said to set the largest body in `nginx.conf`, where nothing of it is."""
    directives = re.findall(r"^([a-z_]+) ", text(APPLICATION), re.MULTILINE)
    assert "client_max_body_size" in directives
    for page in sorted((CHECKOUT / "docs").rglob("*.md")):
        for line in page.read_text("utf-8").splitlines():
            named = [word for word in directives if "_" in word and word in line]
            assert not named or "application.conf" in line, (page.name, line)
    assert "client_max_body_size" not in text("nginx.conf")


def test_the_documented_limits_of_json_are_the_defaults(limits: dict[str, str]) -> None:
    assert limits["nesting"] == f"{default('payload', 'depth')} levels"
    assert limits["names in one object"] == str(default("payload", "keys"))
    assert limits["one string"] == f"{default('payload', 'string') // KIB} KiB"


def test_the_documented_number_of_rows_is_the_plugins(limits: dict[str, str]) -> None:
    from plugins.input_rules.plugin import Config

    assert limits["rows in one request"] == str(Config().fields["max_rows"].load_default)


def test_the_documented_header_limits_are_gunicorns(
    gunicorn: dict[str, Any], limits: dict[str, str]
) -> None:
    assert limits["request line"] == f"{gunicorn['limit_request_line']} bytes"
    count, size = gunicorn["limit_request_fields"], gunicorn["limit_request_field_size"]
    assert limits["headers"] == f"{count}, of {size} bytes each"


def test_nginx_passes_on_no_line_or_header_far_beyond_what_gunicorn_reads(
    gunicorn: dict[str, Any],
) -> None:
    buffer = number(r"large_client_header_buffers \d+ (\d+)k;", "nginx.conf") * KIB
    assert gunicorn["limit_request_line"] <= buffer
    assert (
        gunicorn["limit_request_field_size"] <= buffer <= gunicorn["limit_request_field_size"] + 2
    )


def test_whoever_stands_further_out_waits_longer(gunicorn: dict[str, Any]) -> None:
    worker = default("server", "timeout")
    assert number(r"proxy_read_timeout (\d+)s;", APPLICATION) == worker + 5
    stop = number(r"^TimeoutStopSec=(\d+)$", "deploy/systemd/secureml.service")
    assert stop > gunicorn["graceful_timeout"] >= worker


def test_as_many_may_wait_for_gunicorn_as_two_processes_of_nginx_can_ask(
    gunicorn: dict[str, Any],
) -> None:
    """A queue that is full refuses at once, and whoever asks then gets 502."""
    socket = number(r"^Backlog=(\d+)$", "deploy/systemd/secureml.socket")
    assert socket == gunicorn["backlog"]
    assert gunicorn["backlog"] >= 2 * number(r"^ +worker_connections (\d+);", "nginx.conf")


def test_a_reload_ends_by_itself_before_systemd_ends_it() -> None:
    start = number(r"^TimeoutStartSec=(\d+)$", "deploy/systemd/secureml.service")
    assert number(r"^PATIENCE = (\d+)\.0", "deploy/reload_gunicorn.py") < start


def test_a_reload_checks_first_and_a_start_does_not_wait_for_a_second_check() -> None:
    check, _ = lines(r"ExecReload=(.+)", "deploy/systemd/secureml.service")
    assert check.endswith("/secureml check")
    assert lines(r"ExecStartPre=(.+)", "deploy/systemd/secureml.service") == []


def test_operations_names_the_time_a_stopping_worker_has(gunicorn: dict[str, Any]) -> None:
    assert f"up to {gunicorn['graceful_timeout']} seconds" in text("docs/operations.md")


def test_socket_of_the_unit_is_the_one_nginx_asks() -> None:
    served = lines(r"server unix:(.+);", "deploy/nginx/production/upstream.conf")
    assert lines(r"ListenStream=(.+)", "deploy/systemd/secureml.socket") == served


@pytest.mark.parametrize("page", ["docs/install.md", "docs/operations.md"])
def test_the_docs_name_the_folders_of_the_units(page: str) -> None:
    """A folder that only the page or only the unit knows would be a step that fails."""
    unit = text("deploy/systemd/secureml.service")
    (instance,) = re.findall(r"SECUREML_INSTANCE=(\S+)", unit)
    (checkout,) = lines(r"WorkingDirectory=(.+)", "deploy/systemd/secureml.service")
    known = {instance, checkout, f"{instance}-acme", f"{checkout}-releases"}
    named = set(re.findall(r"(/(?:var/lib|opt)/[\w-]+)", text(page)))
    assert instance in named
    assert named <= known


def test_the_challenges_lie_where_nginx_looks_for_them() -> None:
    (root,) = lines(r"root (.+);", "deploy/nginx/production/listen_http.conf")
    assert f"-w {root} " in text("docs/install.md")


def test_every_class_of_worker_that_is_named_is_there(gunicorn: dict[str, Any]) -> None:
    """Gunicorn looks for it when it starts, and the bench is run by nobody but us."""
    named = {
        gunicorn["worker_class"],
        *re.findall(r'"(secureml\.workers\.[\w.]+)"', text("tests/bench/mixed.py")),
    }
    for name in named:
        assert callable(pkgutil.resolve_name(name)), name
