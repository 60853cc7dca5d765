"""Nginx for development: the bundled nginx.conf, with this machine's values in its includes.

``nginx.conf`` itself is copied unchanged; only the short files it includes by name differ,
exactly as on a production machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from secureml import body_memory
from secureml.config_error import ConfigError
from secureml.models.artifact.version_files import ModelRefused
from secureml.state.secrets.references import SecretSource

if TYPE_CHECKING:
    from secureml.models.serving.registry import Registry
    from secureml.pipeline.proxy import Proxy
    from secureml.settings import Settings

LOCAL = ["localhost", "127.0.0.1", "::1"]  # where no plugin names what is served
APPLICATION = "application.conf"  # the include that is made from the settings
_PLAIN = re.compile(r"[A-Za-z0-9._~+/=-]+")

# The includes that hold no site value are the checkout's own.
FIXED = (
    "ceilings.conf",
    "forwarded.conf",
    "groups.conf",
    "problem_location.conf",
    "problems.conf",
    "waf.conf",
)


def command(
    nginx: str,
    settings: Settings,
    proxy: Proxy,
    checkout: Path,
    bind: str,
    port: int,
    largest: int = 0,
) -> list[str]:
    """Write what Nginx needs into the instance folder and return the command that runs it."""
    instance = settings.instance
    folder = instance / "nginx"
    sites = folder / "deploy" / "nginx"
    sites.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(checkout / "nginx.conf", folder / "nginx.conf")
    for name in FIXED:
        shutil.copyfile(checkout / "deploy" / "nginx" / name, sites / name)
    values = site_values(instance, proxy, bind, port)
    for name, text in {**values, APPLICATION: application_conf(settings, proxy, largest)}.items():
        path = sites / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
    return [nginx, "-p", f"{folder}/", "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]


def site_values(instance: Path, proxy: Proxy, bind: str, port: int) -> dict[str, str]:
    """Return the text of each include that differs between machines."""
    hosts, token = list(proxy.hosts) or LOCAL, _token(instance, proxy)
    # Nginx drops to another user when root starts it; that user could not open our socket.
    user = "user root;\n" if os.geteuid() == 0 else ""
    return {
        "process.conf": f"{user}worker_processes auto;\npid nginx.pid;\nerror_log stderr warn;\n",
        "paths.conf": _PATHS,
        "certificate.conf": f'ssl_certificate "{instance}/tls/server.crt";\n'
        f'ssl_certificate_key "{instance}/tls/server.key";\n',
        "listen.conf": f"listen {bracketed(bind)}:{port} ssl http2;\n",
        # Plain HTTP is for a public site; here it lies on a socket and takes no port.
        "listen_http.conf": f'listen "unix:{instance}/run/http.sock";\nroot "{instance}/nginx";\n',
        "status.conf": f'listen "unix:{instance}/run/status.sock";\n{_STATUS}',
        "names.conf": f"server_name {' '.join(map(bracketed, hosts))};\n",
        # A client that goes to a bare address names no server; it must get an answer here.
        "strangers.conf": "ssl_reject_handshake off;\n",
        "upstream.conf": f'server "unix:{instance}/run/gunicorn.sock";\n',
        "client_certificates.conf": _client_certificates(instance, proxy),
        "edge_token.conf": f'set $edge_token "{token}";\n',
    }


def largest_body(settings: Settings, models: Registry) -> int:
    """Return the most bytes of a body, for the models whose current versions can be read."""
    cards = []
    for name in models.names_on_disk():
        with contextlib.suppress(ModelRefused):  # its own command and the start tell of it
            cards.append(models.card(name))
    return body_memory.of_models(settings, cards)


def application_conf(settings: Settings, proxy: Proxy, largest: int = 0) -> str:
    """Return the include that says to Nginx what the application's settings say.

    ``largest`` is the body that the models need.
    """
    # As expressions: words alone would be compared without regard to capitals.
    lines = [f'    "~^{re.escape(origin)}$" "{origin}";' for origin in proxy.allowed_origins]
    return "\n".join(
        [
            _MADE,
            f"client_max_body_size {max(settings.body_limit, largest)};",
            # Longer than Gunicorn's own, so that the client gets our answer first.
            f"proxy_read_timeout {settings.timeout + 5}s;",
            "map $http_origin $allowed_origin {",
            '    default "";',
            *lines,
            "}",
            "",
        ]
    )


def _client_certificates(instance: Path, proxy: Proxy) -> str:
    """Ask clients for certificates where a plugin wants them and their authorities are there."""
    authorities, revocations = proxy.client_authorities, proxy.client_revocations
    if not authorities or not (instance / authorities).exists():
        return ""
    revoked = f'ssl_crl "{instance / revocations}";\n'
    return (
        f'ssl_client_certificate "{instance / authorities}";\nssl_verify_client optional;\n'
        f"{revoked * bool(revocations and (instance / revocations).exists())}"
    )


def _token(instance: Path, proxy: Proxy) -> str:
    if not proxy.token:
        return ""  # no plugin asks for one
    token = SecretSource(proxy.token).read(instance).reveal().decode("ascii", "replace")
    # It is written between quotes into what Nginx reads, where $ and " mean something.
    if not _PLAIN.fullmatch(token):
        raise ConfigError(
            "the edge token may contain only letters, digits and - _ . + / = ~",
            table=f"plugins.{proxy.token_plugin}",
            fix="make another: openssl rand -base64 32",
        )
    return token


def bracketed(host: str) -> str:
    """Return an IPv6 address as written in URLs and settings; a name unchanged."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


_MADE = """\
# What the application's settings say and Nginx must know as well. Do not edit it: after a change of
# [payload] body, [server] timeout or the origins that a plugin allows, and of models with many
# columns, write it again with `secureml nginx-conf` and reload Nginx. `secureml check` compares it
# with the settings."""
_STATUS = "location = /status { stub_status; default_type text/plain; }\n"
_PATHS = """\
access_log ../logs/nginx.log secureml if=$worth_a_line;
client_body_temp_path body_temp;
proxy_temp_path proxy_temp;
proxy_cache_path cache keys_zone=public:1m max_size=1m inactive=1m use_temp_path=off;
fastcgi_temp_path fastcgi_temp;
scgi_temp_path scgi_temp;
uwsgi_temp_path uwsgi_temp;
"""
