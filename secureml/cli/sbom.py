"""``secureml sbom``: what runs here, as a bill of materials in CycloneDX 1.6 (ECMA-424).

The program, Python, every package that is installed beside it, and the sealed models of the
instance as components of machine learning (ML-BOM), each with the libraries that it was sealed
with. Without time and serial number, which are optional: what has not changed is listed alike.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING, Any

import click

from secureml.cli.main import CommandContext
from secureml.cli.model_records import registry_of
from secureml.cli.model_refusals import with_refusals
from secureml.cli.version import version
from secureml.kit.output import emit, json_option

if TYPE_CHECKING:
    from secureml.models.card import Card
    from secureml.models.serving.registry import Registry

_LICENCE = "License :: OSI Approved :: "
_TASKS = {"classifier": "classification", "regressor": "regression", "cluster": "clustering",
          "outlier": "anomaly detection", "density": "density estimation",
          "transformer": "feature extraction"}  # fmt: skip


@click.command()
@json_option
@click.pass_obj
@with_refusals
def sbom(context: CommandContext, as_json: bool) -> None:
    """Print a bill of materials: packages and sealed models, as CycloneDX 1.6.

    A model whose signature is not valid stops it, as it stops the start.
    """
    import json

    models = sealed(registry_of(context)) if context.instance.exists() else []
    found = document(version(), platform.python_version(), distributions(), models)
    emit(found, as_json, json.dumps(found, indent=2))


def sealed(registry: Registry) -> list[tuple[Card, bool]]:
    """Return the card of each sealed version and whether it is the one in use.

    Raises ModelRefused for one that the plugins of this instance do not verify, or whose card is
    that of another model.
    """
    return [
        (_verified(registry, name, number), number == registry.current(name))
        for name in registry.names_on_disk()
        for number in registry.versions(name)
    ]


def _verified(registry: Registry, name: str, number: str) -> Card:
    from secureml.models.artifact.version_files import ModelRefused
    from secureml.models.card import Card

    artifact = registry.artifact(name, number)
    try:
        for verify in registry.verifiers:
            verify(artifact)
        card = Card.from_json(artifact.card_bytes)
        if (card.name, card.version, card.digest) != (name, number, artifact.digest):
            raise ModelRefused("card", "it is the card of another model", "seal the model again")
    except ModelRefused as refused:
        raise refused.of(name, number) from None
    return card


def document(
    program: str,
    python: str,
    packages: Iterable[Distribution],
    models: Sequence[tuple[Card, bool]],
) -> dict[str, Any]:
    """Return the document: versions of SecureML and Python, what is installed, what is sealed."""
    libraries: dict[str, dict[str, Any]] = {}
    for package in packages:
        component = _library(package)
        libraries.setdefault(component["purl"], component)
    ordered = [libraries[purl] for purl in sorted(libraries)]
    interpreter = {"type": "platform", "bom-ref": f"cpython@{python}", "name": "cpython",
                   "version": python}  # fmt: skip
    own = {"type": "application", "bom-ref": f"secureml@{program}", "name": "secureml",
           "version": program}  # fmt: skip
    served = [_model(card, in_use=in_use) for card, in_use in models]
    components = [interpreter, *ordered, *served]
    needs = {own["bom-ref"]: [component["bom-ref"] for component in components]}
    needs |= {_ref(card): _libraries_of(card, libraries) for card, _ in models}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": on} for ref, on in needs.items()],
    }


def _library(package: Distribution) -> dict[str, Any]:
    name, number = package.metadata["Name"], package.version
    purl = _purl(name, number)
    found = {"type": "library", "bom-ref": purl, "name": name, "version": number, "purl": purl}
    return found | ({"licenses": licences} if (licences := _licences(package)) else {})


def _purl(name: str, number: str) -> str:
    """Return a package's URL; names in one spelling (PEP 503), the plus of a version encoded."""
    spelling = "-".join(filter(None, re.split(r"[-_.]", name.lower())))
    return f"pkg:pypi/{spelling}@{number.replace('+', '%2B')}"


def _licences(package: Distribution) -> list[dict[str, Any]]:
    """Return what a package says of its licence, the newest way of saying it first."""
    said = package.metadata
    if expressions := said.get_all("License-Expression"):
        return [{"expression": expressions[0]}]
    names = [word.removeprefix(_LICENCE) for word in said.get_all("Classifier") or ()
             if word.startswith(_LICENCE)]  # fmt: skip
    # Some have the whole licence where others have its name.
    names = names or [word for word in said.get_all("License") or () if word and "\n" not in word]
    return [{"license": {"name": name}} for name in dict.fromkeys(names)]


def _ref(card: Card) -> str:
    return f"model/{card.name}@{card.version}"


def _model(card: Card, *, in_use: bool) -> dict[str, Any]:
    """Return a sealed version: its data form by digest, and what it is for."""
    properties: Mapping[str, str] = {
        "secureml:created": card.created,
        "secureml:in-use": str(in_use).lower(),
        "secureml:source-sha256": card.source_digest,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": _ref(card),
        "name": card.name,
        "version": card.version,
        "hashes": [{"alg": "SHA-256", "content": card.digest}],
        "modelCard": {
            "modelParameters": {
                "task": _TASKS.get(card.kind, card.kind),
                "inputs": [{"format": f"{len(card.features)} features"}],
            }
        },
        "properties": [{"name": name, "value": value} for name, value in properties.items()],
    }


def _libraries_of(card: Card, libraries: Mapping[str, Any]) -> list[str]:
    """Return the libraries that a version was sealed with, where they are installed here."""
    wanted = (_purl(name, number) for name, number in card.versions.items())
    return [purl for purl in wanted if purl in libraries]
