"""Looking for secrets where none may be."""

from __future__ import annotations

import base64
from urllib.parse import quote


def found(secret: str, text: bytes) -> bool:
    """Tell whether bytes hold a secret, plain or encoded."""
    raw = secret.encode()
    codes = [raw, raw.hex().encode(), quote(secret, safe="").encode(), repr(raw)[2:-1].encode()]
    codes += [base64.b64encode(b"x" * pad + raw)[4:-4] for pad in range(3)]
    return any(code in text for code in codes)
