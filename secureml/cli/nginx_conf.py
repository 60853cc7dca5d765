"""``secureml nginx-conf``: what Nginx must know of the settings, written by them.

A body that is larger than Nginx lets through, an answer that takes longer than it waits, a host
it does not know: each is refused before the application is asked, whatever its settings say. So
one file is made from the settings, and `secureml check` compares what lies where Nginx reads it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from secureml.cli.main import CommandContext
from secureml.cli.nginx_files import APPLICATION, application_conf, bracketed, largest_body
from secureml.config_error import ConfigError
from secureml.kit.output import emit, json_option
from secureml.pipeline import proxy
from secureml.settings_schema import NGINX_FOLDER

if TYPE_CHECKING:
    from secureml.core import Core
    from secureml.pipeline.proxy import Proxy
    from secureml.settings import Settings


log = logging.getLogger("secureml")


@click.command("nginx-conf")
@json_option
@click.pass_obj
def nginx_conf(context: CommandContext, as_json: bool) -> None:
    """Print application.conf: the settings that Nginx needs to know."""
    core = context.core
    largest = largest_body(core.settings, core.models)
    text = application_conf(core.settings, proxy.required(core.plugins), largest)
    emit({"file": APPLICATION, "text": text}, as_json, text.rstrip("\n"))


def check_core(core: Core) -> None:
    """Refuse what is served where the Nginx on this machine does not know it."""
    largest = largest_body(core.settings, core.models)
    check_agreement(core.settings, proxy.required(core.plugins), largest)


def check_agreement(settings: Settings, required: Proxy, largest: int = 0) -> None:
    """Refuse settings that the Nginx on this machine does not know; raises ConfigError.

    ``largest`` is the body in bytes that the models need.

    Only in production, where Nginx is not started by us, and where [server] nginx says that its
    files lie on this machine.
    """
    if not settings.production or not settings.nginx:
        return
    folder = Path(settings.nginx)
    expected = application_conf(settings, required, largest)
    _check_application(settings, expected, folder / APPLICATION)
    _check_names(required, folder / "names.conf")


def _check_application(settings: Settings, expected: str, file: Path) -> None:
    found = _read(file)
    if found is None:
        _say_missing(settings, file)
        # Nothing is installed there yet: what is shipped is what will hold.
        found = (Path(__file__).resolve().parents[2] / "deploy/nginx" / APPLICATION).read_text()
    missing = [line for line in _directives(expected) if line not in _directives(found)]
    extra = [line for line in _directives(found) if line not in _directives(expected)]
    if not missing and not extra:
        return
    words = [f"the settings say {', '.join(missing).replace(';', '')}"] * bool(missing)
    words += [f"Nginx has {', '.join(extra).replace(';', '')}"] * bool(extra)
    raise ConfigError(
        f"application.conf of Nginx differs from the settings: {' and '.join(words)}",
        file=str(file),
        fix=(
            f"write it again: `secureml nginx-conf > {file}`, then `systemctl reload nginx`; if "
            'Nginx runs on another machine, copy the file there and set [server] nginx = ""'
        ),
    )


def _say_missing(settings: Settings, file: Path) -> None:
    """Refuse a folder that was named and is not Nginx's; of the default one, note it."""
    what = "the file does not exist, so Nginx cannot be compared with the settings"
    fix = (
        f"write it: `secureml nginx-conf > {file}`; or name the folder of Nginx's includes; or "
        'set nginx = "" if Nginx runs on another machine'
    )
    index = {"table": "server", "key": "nginx", "file": settings.file}
    error = ConfigError(f"{file}: {what}", fix=fix, **index)
    if settings.nginx.rstrip("/") != NGINX_FOLDER:
        raise error
    log.info("%s", error)  # what is shipped is compared then


def _check_names(required: Proxy, file: Path) -> None:
    found = _read(file)
    words = [line.rstrip(";").split() for line in _directives(found or "")]
    known = {name.lower() for word, *names in filter(None, words) if word == "server_name"
             for name in names}  # fmt: skip
    if not known:
        return
    if any(word[0] in "~*." or word.endswith("*") for word in known):
        return  # a pattern: whether it means a name, only Nginx knows
    for host, plugin in required.hosts.items():
        if bracketed(host).lower().removesuffix(".") not in known:
            raise ConfigError(
                f"server_name lacks {host!r}, a host name of [plugins.{plugin}]",
                file=str(file),
                fix=f"add {bracketed(host)} to server_name there, or remove it from the settings",
            )


def _directives(text: str) -> list[str]:
    """Return the directives of a file in order, blanks made one, without remarks."""
    plain = " ".join(map(_without_remark, text.splitlines()))
    for mark in ";{}":
        plain = plain.replace(mark, f"{mark}\n")
    return [" ".join(line.split()) for line in plain.splitlines() if line.strip()]


def _without_remark(line: str) -> str:
    """Return a line up to a ``#`` that begins a word; elsewhere Nginx takes it for text."""
    index = line.find("#")
    while index > 0 and not line[index - 1].isspace():
        index = line.find("#", index + 1)
    return line if index < 0 else line[:index]


def _read(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot be read ({type(error).__name__})",
            file=str(file),
            fix='let the service read it (mode 0644), or set [server] nginx = ""',
        ) from None
