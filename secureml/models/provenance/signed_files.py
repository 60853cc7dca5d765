"""The whole files that a bundle signs, so that a model file is proved before it is read."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from secureml.models.artifact.version_files import MODEL_LIMIT, ModelRefused, one_line
from secureml.models.provenance.bundle import GET_AGAIN, SIGN_AGAIN, verified
from secureml.models.provenance.untrusted_file import refuse

_CHUNK = 1024**2


@dataclass(frozen=True)
class SignedFiles:
    """The files that a bundle signs: their SHA-256 digests in hex, and the digest of the key."""

    bundle: str
    key: str
    digests: frozenset[str]

    def check(self, digest: str) -> None:
        """Raise ModelRefused unless a file of this SHA-256 (hex) is signed."""
        if digest not in self.digests:
            raise ModelRefused(
                "provenance",
                f"the model file is none of the {len(self.digests)} that {self.bundle} signs; its "
                f"SHA-256 is {digest}",
                GET_AGAIN,
            )

    def copied(self, opened: int) -> int:
        """Return an open copy of an open file, and close that; raises ModelRefused, OSError.

        Nobody else can open the copy. Of a file, the bytes that are read may be others than those
        that were checked: whoever may write it can change them in between.
        """
        sha256, size = hashlib.sha256(), 0
        with os.fdopen(opened, "rb") as file, tempfile.TemporaryFile() as copy:
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                if size > MODEL_LIMIT:
                    raise ModelRefused(
                        "format", f"it grew beyond {MODEL_LIMIT} bytes", "seal a file at rest"
                    )
                sha256.update(chunk)
                copy.write(chunk)
            self.check(sha256.hexdigest())
            copy.flush()
            # Opened anew: the reader's must not be one that can be written.
            return os.open(f"/proc/self/fd/{copy.fileno()}", os.O_RDONLY | os.O_CLOEXEC)


def signed_files(bundle: Path, key: Path) -> SignedFiles:
    """Return the whole files that a bundle signs with the key; raises ConfigError."""
    signed, digest = verified(bundle, key)
    how = signed.serialization_type
    if how.get("method") != "files" or how.get("hash_type") != "sha256":
        refuse(
            bundle,
            f"it signs {one_line(str(how.get('method')), 40)} by "
            f"{one_line(str(how.get('hash_type')), 40)}, and sealing proves whole files by sha256",
            f"{SIGN_AGAIN}, which signs whole files by sha256",
        )
    found = (each.digest for each in signed.resource_descriptors())
    digests = frozenset(each.digest_hex for each in found if each.algorithm == "sha256")
    if not digests:
        refuse(bundle, "it signs no file", SIGN_AGAIN)
    return SignedFiles(bundle.name, digest, digests)
