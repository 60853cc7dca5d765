"""What ``script/server`` prints last: a fresh key, and a curl line that works when pasted."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secureml.pipeline import builtin_plugins
from secureml.pipeline.plugin_attributes import CLIENT as PLACEHOLDER

if TYPE_CHECKING:
    from secureml.core import Core
    from secureml.pipeline.plugin import Plugin

CLIENT = "demo"


def greet(core: Core, model: str, port: int) -> dict[str, str]:
    """Return ``key`` and ``curl``; the key comes from the commands an operator would type.

    Raises click.ClickException where no enabled plugin issues keys.
    """
    instance, plugin = core.settings.instance, _issuer(core)
    _command(instance, ["clients", "add", CLIENT], may_fail=True)
    words = [CLIENT if word == PLACEHOLDER else word for word in plugin.issue_command]
    key = _command(instance, [plugin.name.replace("_", "-"), *words])["key"]
    header = f"{plugin.credential_header}: {key}"
    return {"key": key, "curl": curl_line(instance, model, port, header)}


def _issuer(core: Core) -> Plugin:
    for loaded in core.plugins:
        if loaded.plugin.issue_command and loaded.plugin.credential_header:
            return loaded.plugin
    names = builtin_plugins.suited(lambda cls: bool(cls.issue_command))
    raise click.ClickException(
        f"no enabled plugin issues keys; fix: add {names} to plugins in [secureml]"
    )


def curl_line(instance: Path, model: str, port: int, header: str) -> str:
    """Return one line that asks ``model`` about the first row its seal was proved with."""
    from secureml.models.serving.registry import Registry
    from secureml.settings import read

    card = Registry(read(instance).models_folder).card(model)
    body = json.dumps({"instances": [card.golden.rows[0]]})
    words = [
        "curl",
        "--noproxy",
        "localhost",
        "--cacert",
        str(instance / "tls" / "ca.crt"),
        "-H",
        header,
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
        f"https://localhost:{port}/v1/models/{model}/predict",
    ]
    return shlex.join(words)


def _command(instance: Path, words: list[str], *, may_fail: bool = False) -> dict[str, Any]:
    checkout, named = str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")
    run = subprocess.run(  # noqa: S603 - our own command, no shell
        [sys.executable, "-m", "secureml.cli", *words, "--json", "--instance", str(instance)],
        capture_output=True,
        text=True,
        check=False,
        cwd=checkout,
        # Said, because no program of ours imports from where it is started.
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (checkout, named)))},
    )
    if run.returncode and not may_fail:
        raise click.ClickException(f"secureml {' '.join(words)}: {run.stderr.strip()}")
    found: dict[str, Any] = json.loads(run.stdout or "{}")
    return found
