"""A bundle, verified with a public key before anything that it says is used.

A bundle is a Sigstore bundle (https://docs.sigstore.dev/about/bundle/) around a DSSE envelope. Its
in-toto statement lists the files of a model with their digests, in the predicate
``https://model_signing/signature/v1.0`` (https://github.com/sigstore/model-transparency).

It is untrusted: it is read once and within a bound, the library gets a copy of these very bytes,
and whatever that raises is a refusal.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from secureml.config_error import ConfigError
from secureml.models.provenance.keys import public_pem
from secureml.models.provenance.untrusted_file import read_file, refuse, words

if TYPE_CHECKING:
    from model_signing.manifest import Manifest

BUNDLE_LIMIT = 4 * 1024**2  # about 20 000 files
SIGN_AGAIN = "have it signed again: model_signing sign key MODEL --private_key KEY"
GET_AGAIN = (
    "get the model and its bundle again from where they were signed; if somebody changed one of "
    "them, do not use it"
)


def verified(bundle: Path, key: Path) -> tuple[Manifest, str]:
    """Return what a bundle signs with a public key, and the digest of that; raises ConfigError."""
    pem = public_pem(key)
    content = read_file(bundle, BUNDLE_LIMIT, "bundle")
    import_library()
    # Beneath its public `verifying.Config`, which hands out no digests.
    from model_signing._signing.sign_ec_key import Verifier  # noqa: PLC0415 - an extra
    from model_signing._signing.sign_sigstore_pb import Signature  # noqa: PLC0415

    with (
        tempfile.TemporaryDirectory(prefix="secureml-bundle-") as made,
        contextlib.redirect_stdout(io.StringIO()),  # it prints what it thinks of old bundles
    ):
        copy, public = Path(made, "bundle"), Path(made, "key.pem")
        copy.write_bytes(content)
        public.write_bytes(pem)
        try:
            signature = Signature.read(copy)
            has_key = signature.bundle.verification_material.public_key is not None
        except Exception as error:  # noqa: BLE001 - whatever it is, this is no bundle
            kind = type(error).__name__
            refuse(bundle, f"it cannot be read as a Sigstore bundle ({kind})", SIGN_AGAIN)
        if not has_key:
            refuse(
                bundle,
                "it is signed by an identity (keyless) or a certificate, which only the network or "
                "a list of authorities could verify, and only keys are verified here",
                SIGN_AGAIN,
            )
        try:
            return Verifier(public).verify(signature), hashlib.sha256(pem).hexdigest()
        except InvalidSignature:
            what = "the signature is of another key, or what it signs was changed"
            refuse(bundle, what, GET_AGAIN)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is proved
            refuse(bundle, f"it cannot be verified ({words(error)})", GET_AGAIN)


def import_library() -> None:
    """Raise ConfigError where the library of bundles is not installed."""
    try:
        import model_signing  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "bundles need the library model-signing, which is not installed here",
            fix="script/extras provenance",
        ) from None
