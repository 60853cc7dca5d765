"""What the files of the edge say, compared with each other and with the application."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from live_certificates import make_certificates
from live_servers import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NGINX = CHECKOUT / "deploy/nginx"
SHARED = {"problems", "problem_location", "forwarded"}
# Good as they are on most machines, and an operator may change them.
USUAL = {"groups", "ceilings", "waf", "application"}
FILES = [CHECKOUT / "nginx.conf", *sorted(NGINX.rglob("*.conf*"))]
UNITS = sorted((CHECKOUT / "deploy/systemd").iterdir())


def directives(*files: Path) -> str:
    """The text of configuration files without what is only said to the reader."""
    return "\n".join(re.sub(r"(?m)(^|\s)#.*$", "", file.read_text("utf-8")) for file in files)


def number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text, re.MULTILINE)
    assert len(found) == 1, pattern
    return int(found[0])


def test_nginx_words_each_problem_as_the_catalogue_does(catalogue: Any) -> None:
    text = directives(NGINX / "problems.conf")
    codes = re.findall(r'"(?:~|http|https) (\d{3})\$?"\s+(\w+);', text)
    titles = re.findall(r'^    (\w+)\s+"[A-Z].+";$', text, re.MULTILINE)
    for status, code in codes:
        assert catalogue[code].status == int(status)
        assert f'{code:<22}  "{catalogue[code].title}";' in text
    assert set(titles) - {"default"} == {code for _, code in codes}
    assert f'default                 "{catalogue["internal_error"].title}";' in text


def test_nginx_words_what_the_waf_says_as_the_catalogue_does(catalogue: Any) -> None:
    kind = catalogue["request_blocked"]
    text = directives(NGINX / "problem_location.conf")
    said = f'"title":"{kind.title}","status":{kind.status},"code":"{kind.code}"'
    assert text.count(f'"type":"urn:secureml:problem:{kind.code}",{said}') == 1
    words = directives(NGINX / "problems.conf")
    assert f"error_page 418 ={kind.status} /problem/blocked;" in words


def test_what_is_kept_for_everyone_is_said_once_and_only_of_two_addresses() -> None:
    text = directives(CHECKOUT / "nginx.conf")
    assert text.count("proxy_cache public;") == 1
    start = text.index("proxy_cache public;")
    place = text[text.rindex("location", 0, start) : start]
    assert place.startswith(r'location ~ "^/(?:\.well-known/jwks\.json|openapi\.json)$" {')


def test_every_status_nginx_words_has_a_code() -> None:
    text = directives(NGINX / "problems.conf")
    worded = re.search(r"error_page ([\d ]+) /problem;", text)
    assert worded is not None
    mapped = set(re.findall(r"(\d{3})\$?\"\s+\w+;", text))
    assert set(worded[1].split()) - mapped == {"500"}  # the default of the map
    assert set(re.findall(r"error_page \d+ =(\d+)", text)) <= mapped


def test_times_of_nginx_and_gunicorn_fit_together() -> None:
    nginx = directives(CHECKOUT / "nginx.conf")
    conf = (CHECKOUT / "deploy/gunicorn.conf.py").read_text("utf-8")
    upstream = nginx[nginx.index("upstream secureml") :]
    idle = int(re.findall(r"keepalive_timeout (\d+)s", upstream)[0])
    assert number(r"^keepalive = (\d+)", conf) > idle
    settings = pytest.importorskip("secureml.settings_schema", exc_type=ImportError)
    timeout = settings.TABLES["server"]().load({})["timeout"]
    assert number(r"proxy_read_timeout (\d+)s", directives(NGINX / "application.conf")) > timeout


def test_nginx_and_the_settings_agree_on_the_size_of_a_body() -> None:
    settings = pytest.importorskip("secureml.settings", exc_type=ImportError)
    limit = settings.TABLES["payload"]().load({})["body"]
    assert number(r"client_max_body_size (\d+);", directives(NGINX / "application.conf")) == limit


def test_hsts_is_set_in_one_place_and_inherited_everywhere() -> None:
    text = directives(*FILES)
    assert text.count("add_header Strict-Transport-Security") == 1
    # A lower block with an add_header of its own would lose all those above it.
    inside = directives(CHECKOUT / "nginx.conf").split("\n    upstream")[1]
    assert "add_header" not in inside + directives(NGINX / "problem_location.conf")


def test_nothing_redirects_or_serves_by_alias() -> None:
    text = directives(*FILES)
    assert not re.search(r"\b(return 30\d|rewrite|alias|autoindex on)\b", text)


def test_each_included_file_exists_once_and_production_changes_only_site_values() -> None:
    included = set(re.findall(r"include deploy/nginx/(\w+)\.conf;", directives(*FILES)))
    assert included == {file.stem for file in NGINX.glob("*.conf")}
    production = {file.stem for file in (NGINX / "production").iterdir()}
    assert production == included - SHARED - USUAL


def test_no_path_of_this_machine_stands_in_the_files() -> None:
    for file in [*FILES, *UNITS, CHECKOUT / "deploy/gunicorn.conf.py"]:
        assert not re.search(r"/(work|root|home|tmp)\b", file.read_text("utf-8")), file
    site = [file for file in NGINX.glob("*.conf") if file.stem not in SHARED]
    assert not re.search(r"(?<!location =)\s/\w", directives(*site))


def test_protocols_and_suites_are_mozillas_intermediate_ones() -> None:
    text = directives(CHECKOUT / "nginx.conf")
    aead = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
    suites = [f"ECDHE-{kind}-{rest}" for rest in aead for kind in ("ECDSA", "RSA")]
    assert f"ssl_ciphers {':'.join(suites)};" in text
    for line in (
        "ssl_protocols TLSv1.2 TLSv1.3;", "ssl_prefer_server_ciphers off;",
        "ssl_session_tickets off;", "ssl_session_timeout 1d;", "ssl_early_data off;",
    ):  # fmt: skip
        assert text.count(line) == 1


def test_the_group_list_is_mozillas() -> None:
    classical = "X25519:prime256v1:secp384r1;"
    assert directives(NGINX / "groups.conf").split() == ["ssl_ecdh_curve", classical]
    hybrid = directives(NGINX / "groups-pq.conf.example").split()
    assert hybrid == ["ssl_ecdh_curve", f"X25519MLKEM768:{classical}"]


@pytest.mark.parametrize("production", [False, True])
def test_the_files_as_shipped_pass_nginx(
    tmp_path: Path, tool: Callable[[str, str], str], production: bool
) -> None:
    nginx = tool("nginx", "apt-get install nginx-light")
    shutil.copy(CHECKOUT / "nginx.conf", tmp_path)
    shutil.copytree(NGINX, tmp_path / "deploy/nginx")
    for folder in ("tls", "run", "nginx"):
        (tmp_path / "instance" / folder).mkdir(parents=True)
    make_certificates(tmp_path / "instance/tls")
    if production:
        shutil.copytree(NGINX / "production", tmp_path / "deploy/nginx", dirs_exist_ok=True)
        for stem in ("certificate", "process", "paths", "listen", "listen_http", "status"):
            keep_out_of_the_system(tmp_path / f"deploy/nginx/{stem}.conf")
    command = [nginx, "-t", "-e", "stderr", "-p", "instance/nginx/", "-c", f"{tmp_path}/nginx.conf"]
    checked = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stderr


def keep_out_of_the_system(file: Path) -> None:
    """Point a production file at what a test may open: its own folder and high ports."""
    text = file.read_text("utf-8")
    text = re.sub(r"/etc/letsencrypt/\S+/fullchain.pem", "instance/tls/server.crt", text)
    text = re.sub(r"/etc/letsencrypt/\S+/privkey.pem", "instance/tls/server.key", text)
    text = re.sub(r"/(run|var/log/nginx|var/lib/nginx)/(\S+)", r"\2", text)
    text = re.sub(r"(?m)^listen (\[::\]:)?(443|80)", r"listen \g<1>2\2", text)
    text = text.replace("user www-data;", "").replace(":8081;", ":28081;")
    if file.stem == "paths":
        temporary = re.findall(r"\w+_temp_path .+", (NGINX / "paths.conf").read_text("utf-8"))
        text += "\n".join(temporary)
    file.write_text(text, "utf-8")


def test_the_units_are_valid_and_sandboxed(tmp_path: Path, tool: Callable[[str, str], str]) -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    for unit in UNITS:
        text = unit.read_text("utf-8")
        (tmp_path / unit.name).write_text(re.sub(r"=/opt/secureml/\.venv\S+", "=/bin/true", text))
    checked = subprocess.run(
        [analyze, "verify", *(str(tmp_path / unit.name) for unit in UNITS)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (0, "")
    security = [analyze, "security", "--offline=true", "--threshold=15", "--no-pager"]
    for unit in UNITS:
        if unit.suffix == ".service":
            done = subprocess.run(
                [*security, str(unit)], capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stdout
