"""Whole stories: the commands an operator types, and the app as a client meets it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
from click.testing import CliRunner

from secureml.app import create_app
from secureml.cli.main import CommandContext, secureml
from secureml.testing import Clock

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


@dataclass
class Site:
    """One machine: its instance folder, its commands, and the app it would start."""

    folder: Path

    def run(self, *words: str) -> Any:
        """Type a command that succeeds; return what it prints for scripts."""
        done = CliRunner().invoke(
            secureml, [*words, "--json"], obj=CommandContext(str(self.folder))
        )
        assert done.exit_code == 0, done.output or done.exception
        return json.loads(done.stdout)

    def fail(self, *words: str) -> str:
        """Type a command that must not succeed; return the line that says why."""
        done = CliRunner().invoke(secureml, list(words), obj=CommandContext(str(self.folder)))
        assert done.exit_code != 0
        return done.stderr.strip()

    def start(self, clock: Clock | None = None) -> FlaskClient:
        """Start the app as Gunicorn would and return a caller of it."""
        words = {"now": clock} if clock else {}
        return create_app(self.folder, **words).test_client()


def get(caller: FlaskClient, path: str, key: str = "", **headers: str) -> TestResponse:
    """Ask over HTTPS, as the transport plugin demands."""
    return caller.get(path, base_url="https://localhost", headers=_with(key, headers))


def predict(caller: FlaskClient, key: str, rows: Any, model: str = "wine") -> TestResponse:
    return caller.post(
        f"/v1/models/{model}/predict",
        base_url="https://localhost",
        json={"instances": rows},
        headers=_with(key, {}),
    )


def _with(key: str, headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "X-API-Key": key} if key else headers


@dataclass(frozen=True)
class Work:
    """What a data scientist hands over: two models of one kind, and the table."""

    first: Path
    second: Path
    table: Path

    def truth(self, file: Path, rows: Any) -> tuple[list[Any], list[Any]]:
        model = joblib.load(file)
        return model.predict(rows).tolist(), model.predict_proba(rows).tolist()
