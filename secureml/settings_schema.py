"""The tables of ``instance/secureml.toml`` that are the core's: every key, default and bound.

A schema declares and never acts; docs/settings.md is made from these.
"""

from __future__ import annotations

import os
import re
from ipaddress import ip_address

from marshmallow import Schema, ValidationError, fields, validate

from secureml.kit.fields import StrictBoolean
from secureml.pipeline import builtin_plugins
from secureml.state.fields import ByteSize, Duration, InstancePath, StrictInteger, Writes
from secureml.state.keypair import ALGORITHMS
from secureml.state.secret_settings import SecretsTable
from secureml.state.signing import Schedule

# A body is held whole in memory while it is read, once as bytes and once as what JSON makes of it.
# One of 64 MiB can take more than two gigabytes then (see `body_memory`); who has a table that
# large asks about it in parts.
LARGEST_BODY = 64 * 1024**2
PROFILES = ("development", "production")


class RootTable(Schema):
    """The ``[secureml]`` table: what runs here."""

    profile = fields.String(
        load_default="production",
        validate=validate.OneOf(PROFILES),
        metadata={"description": "`production` refuses every known risk; `development` does not."},
    )
    plugins = fields.List(
        fields.String(),
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": "The plugins that run, in the order they run in a phase.",
            "example": list(builtin_plugins.DEFAULT),
        },
    )
    accept_risk = fields.List(
        fields.String(),
        load_default=list,
        metadata={"description": "Production demands waived, by name; printed at every start."},
    )
    log_level = fields.String(
        load_default="warning",
        validate=validate.OneOf(("debug", "info", "warning", "error")),
        metadata={"description": "The least severe of the program's own log lines to print."},
    )


class StoreTable(Schema):
    """The ``[store]`` table: where clients, keys and tokens live."""

    url = fields.String(
        load_default="",
        metadata={
            "description": "Empty for `secureml.db` in the instance folder; "
            "`sqlite:///store/secureml.db` for another file, relative to that folder; or a "
            "`postgresql+psycopg://` URL for several hosts. `secureml init` alone makes the file."
        },
    )


class ModelsTable(Schema):
    """The ``[models]`` table: where sealed models lie and what they may contain."""

    folder = InstancePath(
        load_default="models",
        writes=Writes(folder=True, mode=0o750),
        metadata={"description": "The folder of sealed models, inside the instance folder."},
    )
    allow = fields.List(
        fields.String(),
        load_default=list,
        metadata={
            "description": "Exact names of extra classes or functions a model file may use, "
            "beyond scikit-learn's and NumPy's own. Their modules must be found: a start refuses "
            "a name whose module is not."
        },
    )


class PayloadTable(Schema):
    """The ``[payload]`` table: how large a JSON body may be."""

    body = ByteSize(
        load_default=1024 * 1024,
        validate=validate.Range(max=LARGEST_BODY),
        metadata={
            "description": "Largest request body, at most 64 MiB; Nginx gets it from `secureml "
            "nginx-conf`. Every thread may hold one body, so the machine's memory limits it too."
        },
    )
    model_rows = StrictInteger(
        load_default=50,
        validate=validate.Range(0, 100_000),
        metadata={
            "description": "How many rows of a model, sent by name, fit a body in any case: where "
            "they take more than `body`, requests of this model may be so large, up to 64 MiB and "
            "to what the memory allows. Nginx gets the largest from `secureml nginx-conf`."
        },
    )
    depth = StrictInteger(
        load_default=8,
        validate=validate.Range(2, 64),
        metadata={"description": "Deepest nesting of arrays and objects."},
    )
    keys = StrictInteger(
        load_default=1000,
        validate=validate.Range(1, 100_000),
        metadata={
            "description": "Most names in one object; a row may have as many as its model has."
        },
    )
    string = ByteSize(
        load_default=4096,
        validate=validate.Range(max=LARGEST_BODY),
        metadata={"description": "Longest string, in bytes of UTF-8."},
    )
    gzip = StrictBoolean(
        load_default=False,
        metadata={"description": "Read bodies packed with `Content-Encoding: gzip`."},
    )
    gzip_ratio = StrictInteger(
        load_default=100,
        validate=validate.Range(1, 1100),
        metadata={
            "description": "How many times its packed size a body beyond 64 KiB may unpack to; "
            "`body` caps it besides."
        },
    )


class SigningKeysTable(Schema):
    """The ``[signing_keys]`` table: what our tokens are signed with, and for how long."""

    algorithm = fields.String(
        load_default=Schedule.algorithm,
        validate=validate.OneOf(ALGORITHMS),
        metadata={"description": "What the next key signs with: `ES256` or `EdDSA`."},
    )
    rotate_after = Duration(
        load_default=Schedule.rotate_after,
        validate=validate.Range(min=3600),
        metadata={
            "description": "Age at which `secureml signing-keys rotate --if-due` makes the next "
            "key; `secureml check` warns beyond it."
        },
    )
    retire_after = Duration(
        load_default=Schedule.retire_after,
        validate=validate.Range(min=60),
        metadata={
            "description": "How long a key verifies after the next one is active; at least the "
            "lifetime of its tokens."
        },
    )


_ADDRESS = re.compile(r"(?:([0-9.]{7,15})|\[([0-9A-Fa-f:.]{2,45})\]):([1-9][0-9]{0,4})")
_SOCKET_PATH = 107  # bytes the kernel's sockaddr_un holds beside the closing zero


def _check_bind(text: str) -> None:
    """Refuse what Gunicorn cannot bind, and what whoever reaches this machine could connect to."""
    if not text:
        return
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path or len(os.fsencode(path)) > _SOCKET_PATH:
            raise ValidationError(
                f"The socket is an absolute path of at most {_SOCKET_PATH} bytes."
            )
        return
    match = _ADDRESS.fullmatch(text)
    try:
        address = ip_address((match[1] or match[2]) if match else "")
    except ValueError:
        raise ValidationError("This is not an address that Gunicorn could listen on.") from None
    if match is None or int(match[3]) > 65535:
        raise ValidationError("There is no such port.")
    if not address.is_loopback:
        # Nginx, its TLS and its limits would be passed by; Gunicorn's own settings refuse it too.
        raise ValidationError("Clients could reach this address without Nginx: use 127.0.0.1.")


NGINX_FOLDER = "/etc/nginx/deploy/nginx"


class ServerTable(Schema):
    """The ``[server]`` table: how Gunicorn runs; read by ``deploy/gunicorn.conf.py``."""

    workers = StrictInteger(
        load_default=2,
        validate=validate.Range(1, 256),
        metadata={"description": "Worker processes; about one for each core."},
    )
    threads = StrictInteger(
        load_default=4,
        validate=validate.Range(1, 256),
        metadata={"description": "Threads in each worker."},
    )
    bind = fields.String(
        load_default="",
        validate=_check_bind,
        metadata={
            "description": "Empty for a unix socket in `run/`, or `unix:/path` in a folder that is "
            "there, or this machine's own `127.0.0.1:8000`. The plugin that decides "
            "which peers are trusted must trust what connects there: `unix`, or the network.",
            "example": "unix:/run/secureml/gunicorn.sock",
        },
    )
    timeout = StrictInteger(
        load_default=30,
        validate=validate.Range(5, 3600),
        metadata={
            "description": "Seconds after which a silent worker is replaced. Nginx waits five "
            "seconds longer; write `secureml nginx-conf` again."
        },
    )
    nginx = fields.String(
        load_default=NGINX_FOLDER,
        validate=validate.Regexp(
            r"(/[^\0]*)?\Z", error="This is not the absolute path of a folder."
        ),
        metadata={
            "description": "The folder of Nginx's include files on a production machine, which "
            "`secureml check` holds to these settings; another one than the default must be "
            "there. Empty where Nginx runs elsewhere."
        },
    )


class RecordingTable(Schema):
    """The ``[recording]`` table: how refused requests are written down, whoever keeps records."""

    in_full = StrictInteger(
        load_default=20,
        validate=validate.Range(1, 10_000_000),
        metadata={
            "description": "Refused requests of one client or address that are written one by one "
            "in each `window` and worker; those beyond are counted, and their numbers written."
        },
    )
    window = Duration(
        load_default=60.0,
        validate=validate.Range(1, 3600),
        metadata={
            "description": "How often the numbers are written; a worker that is killed loses those "
            "of one such span at the most."
        },
    )


TABLES: dict[str, type[Schema]] = {
    "secureml": RootTable,
    "store": StoreTable,
    "models": ModelsTable,
    "payload": PayloadTable,
    "signing_keys": SigningKeysTable,
    "server": ServerTable,
    "recording": RecordingTable,
    "secrets": SecretsTable,
}
