"""The table: what is taken unsaid, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from marshmallow import ValidationError

from plugins.audit_log.settings import Config


def load(**more: Any) -> Any:
    return Config().load({"key": "file:keys/audit.key", **more})


def test_the_head_lies_beside_the_log_and_records_are_signed_within_a_minute() -> None:
    found = load()
    assert (found["head_file"], found["checkpoint_interval"]) == ("store/audit-head", 30.0)


@pytest.mark.parametrize(
    "words",
    [
        {"head_file": "/etc/head"},
        {"head_file": "../head"},
        {"checkpoint_interval": "0s"},
        {"checkpoint_interval": "2d"},
        {"requests": "some"},
        {"fsync": "often"},
    ],
)
def test_what_makes_no_sense_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        load(**words)
