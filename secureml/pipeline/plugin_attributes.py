"""What a plugin class says beside its methods: which values can be read, and how to write one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marshmallow import Schema

from secureml.kit.instance_file import InstanceFile
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.pipeline.problems import Kind

CLIENT = "CLIENT"  # stands for the client's name in `Plugin.issue_command`


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _are_texts(value: Any) -> bool:
    # One text alone would be read letter by letter, and no letter is anybody's name.
    return isinstance(value, (tuple, list)) and all(isinstance(item, str) for item in value)


def _are_kinds(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        isinstance(kind, Kind) and isinstance(kind.code, str) and type(kind.status) is int
        for kind in value
    )


def _is_schema(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Schema)


def _is_card_section(value: Any) -> bool:
    if value is None:
        return True
    # Asked for here alone: most plugins have none, and it needs NumPy and scikit-learn.
    from secureml.models.card_section import CardSection  # noqa: PLC0415

    return isinstance(value, CardSection)


def _are_instance_files(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(
        isinstance(item, InstanceFile) for item in value
    )


def _is_proxy_requirements(value: Any) -> bool:
    return value is None or isinstance(value, ProxyRequirements)


def _is_issue_command(value: Any) -> bool:
    return _are_texts(value) and (not value or CLIENT in value)


def _is_yes_or_no(value: Any) -> bool:
    return isinstance(value, bool)


ATTRIBUTES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, 'name = "opening_hours"'),
    "schema": (_is_schema, "schema = Config, a class of marshmallow.Schema"),
    "vital": (_is_yes_or_no, "vital = True"),
    "concern": (_is_text, 'concern = "NAME"'),
    "risk": (_is_text, 'risk = "gives access to all"'),
    "accepts_secrets": (_is_yes_or_no, "accepts_secrets = True"),
    "instance_files": (
        _are_instance_files,
        'instance_files = (InstanceFile("keys/mine.key", "my key"),), a tuple of InstanceFile',
    ),
    "proxy_requirements": (
        _is_proxy_requirements,
        'proxy_requirements = ProxyRequirements(hosts=("ml.example.org",))',
    ),
    "proxy_verification_keys": (_are_texts, 'proxy_verification_keys = ("token",), a tuple'),
    "issue_command": (_is_issue_command, f'issue_command = ("issue", "{CLIENT}"), a tuple'),
    "verify_command": (_are_texts, 'verify_command = ("verify",), a tuple'),
    "problems": (_are_kinds, 'problems = (Kind("NAME.code", 503, "Title"),), a tuple of Kind'),
    "aliases": (_are_texts, 'aliases = ("word",), a tuple'),
    "runs_before": (_are_texts, 'runs_before = ("opening_hours",), a tuple'),
    "card_section": (
        _is_card_section,
        "card_section = HoursSection(), a secureml.kit.cards.CardSection",
    ),
    "challenge": (_is_text_or_none, 'challenge = "Bearer"'),
    "credential_header": (_is_text_or_none, 'credential_header = "X-API-Key"'),
    "issuers": (_are_texts, 'issuers = ("https://issuer.example.org",), a tuple'),
    "identifies_by_connection": (_is_yes_or_no, "identifies_by_connection = True"),
    "verifies_proxy": (_is_yes_or_no, "verifies_proxy = True"),
}
