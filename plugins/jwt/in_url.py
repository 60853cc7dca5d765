"""Whether a query string carries a token; asked of every request, before anything is known of it.

Plain searches, and no regular expression: the text is a stranger's, and every character of it
is looked at a fixed number of times, whatever stands in it.
"""

from __future__ import annotations

from itertools import pairwise
from string import ascii_letters, digits
from urllib.parse import unquote

_PARAMETERS = ("access_token=", "refresh_token=")
_BEGIN = "eyJ"  # what a JSON object begins with in base64url
_LETTERS = ascii_letters + digits + "-_"


def carries_token(query: str) -> bool:
    """Tell whether a query holds a token of ours, or a parameter meant for one."""
    if "%" in query:
        query = unquote(query)
    if any(name in query and f"&{name}" in f"&{query}" for name in _PARAMETERS):
        return True
    return f".{_BEGIN}" in query and _has_signed_token(query)


def _has_signed_token(text: str) -> bool:
    """Tell whether two parts beside one dot begin as header and claims of a signed token do."""
    for before, after in pairwise(text.split(".")):
        if after.startswith(_BEGIN):
            run = before[len(before.rstrip(_LETTERS)) :]
            if _BEGIN in run[:-1]:
                return True
    return False
