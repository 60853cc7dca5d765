"""Models sealed with the sections of our plugins on their cards, as the command seals them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib

from secureml.models.artifact import signature
from secureml.models.sealing import packaging
from secureml.pipeline import builtin_plugins
from tests.data_forms import convert_here

MOMENT = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def seal_file(
    file: Path,
    root: Path,
    *,
    name: str,
    data: Path | None = None,
    target: str | None = None,
    rules: Path | None = None,
    options: dict[str, dict[str, Any]] | None = None,
    key: Any = None,
    strict: bool = False,
    types: dict[str, str] | None = None,
) -> packaging.Sealed:
    """Seal a model file with a key of the moment, or the one given.

    A ``strict`` one refuses what its table had none of: missing values and further categories.
    """
    given = options or ({"input_rules": {"rules": rules}} if rules else {})
    rest = {"*": "refuse"} if strict else {}
    order = packaging.Order(
        file, name, data, target, types or {}, options=given, missing=rest, unknown=rest
    )
    return packaging.seal(
        order,
        packaging.SealTarget(
            root,
            key or signature.generate_key(),
            lambda: MOMENT,
            sections=builtin_plugins.card_sections(),
            convert=convert_here,
        ),
    )


def seal_estimator(
    folder: Path, estimator: Any, name: str = "model", *, table: str | None = None, **words: Any
) -> packaging.Sealed:
    """Seal an estimator and its table, given as text, into ``folder``/models."""
    joblib.dump(estimator, folder / f"{name}.joblib")
    data = None
    if table is not None:
        data = folder / f"{name}.csv"
        data.write_text(table, "utf-8")
    return seal_file(folder / f"{name}.joblib", folder / "models", name=name, data=data, **words)
