"""The route of the security contact."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response

from secureml import Problem, public

from .contact_file import ContactFile

PATH = "/.well-known/security.txt"
_PUBLIC_SECONDS = 3600


def blueprint(file: ContactFile, now: Callable[[], float]) -> Blueprint:
    """Return the route; it is the same for everyone."""
    views = Blueprint("security_txt", __name__)
    text = file.text()

    @views.get(PATH, endpoint="security_txt")
    @public()
    def security_txt() -> Response:
        """Say where a weakness is reported."""
        if not file.is_current(now()):
            raise Problem("not_found", reason="security_txt.expired")
        return Response(
            text,
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": f"public, max-age={_PUBLIC_SECONDS}"},
        )

    return views
