"""Signing, and whether a key signed: joserfc's work, under our list of algorithms alone."""

from __future__ import annotations

from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from secureml.kit.access_token import MAX_TOKEN
from secureml.kit.jwt_claims import canonical_algorithm

ALGORITHMS = ("ES256", "ES384", "EdDSA", "PS256", "RS256")


def signed_by(text: str, key: Key) -> bool:
    """Tell whether this key signed the token; the caller has matched key and algorithm."""
    try:
        jws.deserialize_compact(text, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        return False
    return True


def sign(header: dict[str, Any], payload: bytes, key: Key) -> str:
    """Return a signed token; the caller has matched key and algorithm."""
    return jws.serialize_compact(header, payload, key, registry=_REGISTRY)


class _Registry(JWSRegistry):
    """joserfc's algorithms, exactly ours: an empty list there would mean its own favourites.

    It would also warn at each EdDSA signature; that name is old (RFC 9864), not weak.
    """

    max_header_length = MAX_TOKEN
    max_payload_length = MAX_TOKEN

    def get_alg(self, name: str) -> Any:  # the library's own type for it is not exported
        if canonical_algorithm(name) not in ALGORITHMS:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)
