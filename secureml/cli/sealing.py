"""How a model is sealed from the command line: proved with what the start will prove it with.

What fails leaves everything as it was; what cannot be recorded is taken back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secureml.cli.allowed_names import demand_allowed
from secureml.cli.main import CommandContext
from secureml.cli.model_records import emit_event, has_settings, registry_of, undone
from secureml.config_error import ConfigError
from secureml.kit.output import emit

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from secureml.models.card import Feature
    from secureml.models.card_section import CardSection
    from secureml.models.provenance.signed_files import SignedFiles
    from secureml.models.sealing.confined_conversion import Confined
    from secureml.models.sealing.packaging import Assessor, Sealed, SealTarget


@dataclass(frozen=True)
class Order:
    """What a command was asked to seal, and from what."""

    file: Path
    name: str
    data: Path | None = None
    target: str | None = None
    key: Path | None = None
    allow: frozenset[str] = frozenset()
    types: dict[str, str] = field(default_factory=dict)
    csv: dict[str, str] = field(default_factory=dict)  # separator, decimal, encoding
    missing: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # by plugin, for its section
    use: bool = False
    unless_same: bool = False
    memory_limit: int | None = None  # MiB
    time_limit: float = 900.0  # seconds
    unconfined: bool = False
    assess: bool = True
    entry: str = ""
    signed: SignedFiles | None = None  # what the bundle of the file signs


def seal_ordered(context: CommandContext, order: Order, as_json: bool) -> None:
    """Seal what was ordered and say so; whatever fails changes nothing."""
    if order.unless_same and _is_current(context, order):
        emit({"name": order.name, "made": False}, as_json, f"{order.name} already is this file")
        return
    _say_sealed(context, order, _sealed_or_as_before(context, order), as_json)


def _sealed_or_as_before(context: CommandContext, order: Order) -> Sealed:
    """Seal what was ordered; a refusal says which version goes on to serve."""
    from secureml.models.artifact.version_files import ModelRefused

    try:
        return seal_as_ordered(context, order)
    except ModelRefused as refused:
        current = _current(context, order.name)
        if current is None:
            raise
        fix = f"{refused.fix}; nothing was changed: {order.name} {current} is still in use"
        raise ModelRefused(refused.check, refused.message, fix, model=refused.model) from None


def _current(context: CommandContext, name: str) -> str | None:
    from secureml.models.artifact.version_files import ModelRefused

    try:
        return registry_of(context).current(name)
    except ModelRefused:
        return None  # no name, or a pointer that points nowhere: the refusal tells


def seal_as_ordered(context: CommandContext, order: Order) -> Sealed:
    """Seal what was ordered and let records know of it; whatever fails changes nothing."""
    from secureml.models.sealing import packaging

    order_ = packaging.Order(
        order.file,
        order.name,
        order.data,
        order.target,
        order.types,
        order.options,
        order.use,
        order.csv,
        order.missing,
        order.unknown,
        order.entry,
        order.signed,
    )
    sealed = packaging.seal(order_, _seal_target(context, order))
    with undone(sealed.undo):
        name, version = sealed.name, sealed.version
        facts = {} if order.signed is None else {"bundle_key": order.signed.key}
        digest = sealed.card.digest
        emit_event(context, "model_sealed", model=name, version=version, digest=digest, **facts)
        if order.use:
            emit_event(context, "model_chosen", model=name, version=version)
    return sealed


def _seal_target(context: CommandContext, order: Order) -> SealTarget:
    """Return where to seal, with the demands of the start that will load it."""
    from secureml.models.sealing.packaging import SealTarget
    from secureml.models.sealing.parquet_table import confined_columns

    if not has_settings(context):
        # Sealing works on a machine that serves nothing, too.
        key = _sealing_key(context, order.key)
        return SealTarget(
            context.instance / "models",
            key,
            time.time,
            order.allow,
            sections=card_sections(context),
            convert=_confined(order),
            read_parquet=partial(confined_columns, _confined(order)),
            assess=_assessor(order),
        )
    settings, registry = context.core.settings, context.core.models
    demand_allowed(settings, order.allow)
    key = _sealing_key(context, order.key)
    return SealTarget(
        settings.models_folder,
        key,
        time.time,
        registry.extra_allowed,
        registry.verifiers,
        card_sections(context),
        str(settings.file),
        _confined(order),
        partial(confined_columns, _confined(order)),
        _assessor(order),
    )


def _assessor(order: Order) -> Assessor | None:
    from secureml.models.assessment.while_sealing import assess_for_card

    return assess_for_card if order.assess else None


def _confined(order: Order) -> Confined:
    from secureml.models.sealing.confined_conversion import Confined

    memory = None if order.memory_limit is None else order.memory_limit * 1024**2
    return Confined(memory, order.time_limit, order.unconfined)


def card_sections(context: CommandContext) -> dict[str, CardSection]:
    """Return what plugins keep on cards: ours, and those that are enabled here."""
    from secureml.pipeline import builtin_plugins

    found = dict(builtin_plugins.card_sections())
    if has_settings(context):
        found |= context.core.models.sections
    return found


def _is_current(context: CommandContext, order: Order) -> bool:
    registry = registry_of(context)
    # Which entry of a file was sealed is not on its card.
    if registry.current(order.name) is None or order.entry:
        return False
    from secureml.models.artifact.version_files import ModelRefused
    from secureml.models.sealing.packaging import source_digest

    card = registry.card(order.name)
    if card.source_digest != source_digest(order.file):
        return False
    if order.signed is not None:
        order.signed.check(card.source_digest)
    if not _fits(card.features, order):
        return False
    try:
        registry.prove(card.name, card.version)
        for name, section in card_sections(context).items():
            if (found := card.sections.get(name)) is not None:
                section.check(found, card)  # of a plugin that is not enabled nothing is proved
            if not section.is_same(found, order.options.get(name, {})):
                return False
    except (ModelRefused, ValueError, TypeError, KeyError):
        return False  # what a start would refuse is not there already
    return True


def _fits(features: Sequence[Feature], order: Order) -> bool:
    """Tell whether a card says of its columns what an order says of them."""
    types = {
        feature.name: "categorical" if feature.frame_dtype == "category" else feature.dtype
        for feature in features
    }
    missing = {feature.name: feature.missing for feature in features}
    unknown = {feature.name: feature.unknown for feature in features}
    return (
        order.types.items() <= types.items()
        and order.missing.items() <= missing.items()
        and order.unknown.items() <= unknown.items()
    )


def _say_sealed(context: CommandContext, order: Order, sealed: Sealed, as_json: bool) -> None:
    features, source = len(sealed.card.features), sealed.card.source
    first, last = sealed.card.features[0].name, sealed.card.features[-1].name
    what = (
        f"{features} features from {first!r} to {last!r}" if features > 1 else f"feature {first!r}"
    )
    text = f"sealed {sealed.name} version {sealed.version}: {what}"
    notes = _notes(context, order, sealed)
    emit(
        {
            "name": sealed.name,
            "version": sealed.version,
            "folder": str(sealed.folder),
            "features": features,
            "ranges_from": source,
            "notes": notes,
        },
        as_json,
        "\n".join([f"{text}, ranges from {source}", *(f"note: {note}" for note in notes)]),
    )


def _notes(context: CommandContext, order: Order, sealed: Sealed) -> list[str]:
    from secureml.models.unpickling.advice import where_to_allow

    found = list(sealed.notes)
    if order.signed is not None:
        found.append(f"the model file is one that {order.signed.bundle} signs")
    current = _current(context, sealed.name)
    if current not in (None, sealed.version):
        found.append(
            f"version {current} is still in use; to have this one answer: "
            f"secureml models use {sealed.name} {sealed.version}"
        )
    if has_settings(context):
        found += _body_notes(context, sealed)
    if order.allow and not has_settings(context):
        found.append(
            "the server that loads this model must allow the same: "
            + where_to_allow(order.allow, "its secureml.toml")
        )
    return found


def _body_notes(context: CommandContext, sealed: Sealed) -> list[str]:
    """Tell of a model whose rows need larger bodies than the settings say."""
    from secureml.body_memory import of_models

    settings = context.core.settings
    needed = of_models(settings, [sealed.card])
    if needed <= settings.body_limit:
        return []
    rows = settings.limits.model_rows
    told = f"{rows} rows of this model by name ([payload] model_rows) may take {needed} bytes: "
    return [f"{told}when it is in use, write Nginx's file again with `secureml nginx-conf`"]


def _sealing_key(context: CommandContext, given: Path | None) -> Ed25519PrivateKey:
    from secureml.models.artifact import signature

    path = given or context.instance / "keys" / "model-signing.key"
    try:
        return signature.read_private_key(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the sealing key cannot be read ({type(error).__name__})",
            file=str(path),
            fix="run `secureml init`, or name one with --key",
        ) from None
