"""Whether a query string carries a credential of OAuth; asked of every request, first of all.

Plain searches, and no regular expression: the text is from an unknown caller, and every
character is read a fixed number of times, whatever the text.
"""

from __future__ import annotations

from itertools import pairwise
from string import ascii_letters, digits
from urllib.parse import unquote

PARAMETERS = ("access_token=", "refresh_token=", "client_secret=")
_SECRET_LENGTH = 43  # what follows a prefix: 256 bits in base64url
_BEGIN = "eyJ"  # what a JSON object begins with in base64url
_LETTERS = ascii_letters + digits + "-_"


def carries_credential(
    query: str, prefixes: tuple[str, ...] = (), parameters: tuple[str, ...] = PARAMETERS
) -> bool:
    """Tell whether a query holds a token or a secret, or a parameter meant for one.

    ``prefixes`` are those of opaque tokens and secrets, which are found under any name;
    ``parameters`` end in "=".
    """
    if "%" in query:
        query = unquote(query)
    if any(name in query and f"&{name}" in f"&{query}" for name in parameters):
        return True
    if any(_has_text(query, prefix) for prefix in prefixes):
        return True
    return f".{_BEGIN}" in query and _has_signed_token(query)


def _has_text(text: str, prefix: str) -> bool:
    at = text.find(prefix)
    while at >= 0:
        rest = text[at + len(prefix) : at + len(prefix) + _SECRET_LENGTH]
        if len(rest) == _SECRET_LENGTH and not rest.strip(_LETTERS):
            return True
        at = text.find(prefix, at + 1)
    return False


def _has_signed_token(text: str) -> bool:
    """Tell whether two parts beside one dot begin as header and claims of a signed token do."""
    for before, after in pairwise(text.split(".")):
        if after.startswith(_BEGIN):
            run = before[len(before.rstrip(_LETTERS)) :]
            if _BEGIN in run[:-1]:
                return True
    return False
