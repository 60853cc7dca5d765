"""What an answer says of a version that is to end: Deprecation (RFC 9745), Sunset (RFC 8594)."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate

from secureml.state.deployments import Retirement


def headers_of(retirements: Mapping[str, Retirement]) -> dict[str, dict[str, str]]:
    """Return the header fields of each version that is to be retired."""
    return {version: _fields(retirement) for version, retirement in retirements.items()}


def _fields(retirement: Retirement) -> dict[str, str]:
    found = {}
    if retirement.deprecated is not None:
        # A structured date (RFC 9651, 3.3.7), in whole seconds; it may lie in the future.
        found["Deprecation"] = f"@{int(retirement.deprecated)}"
    if retirement.sunset is not None:
        found["Sunset"] = formatdate(retirement.sunset, usegmt=True)
    if retirement.link:
        rel = "sunset" if retirement.deprecated is None else "deprecation"
        found["Link"] = f'<{retirement.link}>; rel="{rel}"; type="text/html"'
    return found
