"""The pages a person sees: sign in, agree, type a code, and what went wrong.

Every value is escaped by the template engine; there is no script, and nothing is loaded but
one style sheet of ours. Who frames a page, or posts its form elsewhere, is stopped by policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .redirects import form_target as form_target  # noqa: PLC0414 - handed on to the views

_FOLDER = Path(__file__).parent / "templates"
_ENGINE = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# What a person reads of a right; any other is shown by its name.
SAYINGS = {
    "predict": "ask models for predictions",
    "models:read": "see which models there are",
    "token": "trade for tokens of the service",
}


def page(name: str, **words: Any) -> str:
    """Return a page."""
    return _ENGINE.get_template(f"{name}.html").render(**words)


def style() -> str:
    """Return the style sheet."""
    return (_FOLDER / "style.css").read_text("utf-8")


def rights(scopes: Iterable[str]) -> list[tuple[str, str]]:
    """Return each right with what a person reads of it."""
    return [(scope, SAYINGS.get(scope, scope)) for scope in sorted(scopes)]


def headers(*form_targets: str) -> dict[str, str]:
    """Return what keeps a page to itself; its form may lead to us and to ``form_targets``.

    Browsers hold a redirect after a form to `form-action` as well, so where a program is sent
    back to must be named.
    """
    targets = " ".join(("'self'", *form_targets))
    policy = (
        f"default-src 'none'; style-src 'self'; form-action {targets}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
        # With `no-referrer` browsers would send `Origin: null` with our own forms.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
