"""Security contact: /.well-known/security.txt says where a weakness is reported (RFC 9116).

Runs in no phase. The operator says the address; without it there is no page.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as plain

from secureml import Host, Plugin

from .contact_file import ContactFile, is_address, is_link, moment_of
from .views import PATH, blueprint

if TYPE_CHECKING:
    from flask import Blueprint

log = logging.getLogger("secureml")


def _address(text: str) -> None:
    if not is_address(text):
        raise ValidationError("write mailto:NAME@HOST, tel:+NUMBER or https://…")


def _link(text: str) -> None:
    if text and not is_link(text):
        raise ValidationError("write a link that begins with https://")


def _moment(text: str) -> None:
    try:
        moment_of(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


class Config(Schema):
    """The ``[plugins.security_txt]`` table."""

    contact = plain.List(
        plain.String(validate=_address),
        required=True,
        validate=validate.Length(1, 10),
        metadata={
            "description": "Where a weakness is reported, the preferred way first: `mailto:`, "
            "`https://` or `tel:`.",
            "example": ["mailto:security@example.org"],
        },
    )
    expires = plain.String(
        required=True,
        validate=_moment,
        metadata={
            "description": "Until when this holds, best less than a year ahead. After it the "
            "page is not found, because RFC 9116 tells readers not to rely on it.",
            "example": "2027-01-31T00:00:00Z",
        },
    )
    policy = plain.String(
        load_default="",
        validate=_link,
        metadata={"description": "A link to the rules for those who report; empty for none."},
    )
    languages = plain.List(
        plain.String(validate=validate.Regexp(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}\Z")),
        load_default=list,
        metadata={"description": "Languages in which you can read a report, such as `en`."},
    )
    canonical = plain.List(
        plain.String(validate=_link),
        load_default=list,
        metadata={"description": "The links under which this page is found."},
    )


class SecurityTxt(Plugin):
    """Publishes the address for reports of weaknesses."""

    name = "security_txt"
    schema = Config

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._file = ContactFile(
            contacts=tuple(config["contact"]),
            expires=moment_of(config["expires"]),
            policy=config["policy"],
            languages=tuple(config["languages"]),
            canonical=tuple(config["canonical"]),
        )
        self._now = host.now
        # Not a reason to refuse the start: a server must not stay down because of a date in a text.
        if not self._file.is_current(host.now()):
            log.warning(
                "[plugins.security_txt] expires: %s is past, so %s is not found; fix: check "
                "`contact` and write a later date", config["expires"], PATH,
            )  # fmt: skip

    def blueprint(self) -> Blueprint:
        """Return the one route."""
        return blueprint(self._file, self._now)
