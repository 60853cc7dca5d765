"""Counters in a Redis, for several hosts: what its client is told, and that it tries once.

Imported only where a URL names a Redis; without its client the import fails, and so the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from .declared import Place


class _Current(CredentialProvider):
    """Reads the password at each connection, so that it may rotate."""

    def __init__(self, password: Callable[[], str | None]) -> None:
        self._password = password

    def get_credentials(self) -> tuple[str]:
        text = self._password()
        if text is None:
            raise AuthenticationError("the password cannot be read")
        return (text,)


def redis_place(url: str, *, busy: float, password: Callable[[], str | None] | None) -> Place:
    """Return the place that is a Redis; ``busy`` in seconds bounds each of its answers.

    ``password`` is asked at each connection, and returns None where it cannot be read.
    """
    options: dict[str, Any] = {
        "wrap_exceptions": True,
        "socket_timeout": busy,
        "socket_connect_timeout": busy,
        # One try: the client's own habit is to try for seconds while the request waits.
        "retry": Retry(NoBackoff(), 0),
    }
    if password is not None:
        options["credential_provider"] = _Current(password)
    return Place(url, options)
