"""A bundle over a sealed version, for those who check models with the tools of OpenSSF."""

from __future__ import annotations

import tempfile
from pathlib import Path

from secureml.models.artifact.version_files import (
    CARD_FILE,
    MODEL_FILE,
    SIGNATURE_FILE,
    Artifact,
)
from secureml.models.provenance.bundle import import_library
from secureml.models.provenance.keys import check_private_key


def sign(artifact: Artifact, key: Path) -> bytes:
    """Return a bundle over the files of a version, by a private key; raises ConfigError, OSError.

    What is signed are the bytes in memory, those that were proved: a file that is exchanged on
    disk meanwhile is not signed.
    """
    check_private_key(key)
    import_library()
    from model_signing import hashing, signing  # noqa: PLC0415 - an extra

    contents = (artifact.model_bytes, artifact.card_bytes, artifact.signature_bytes)
    with tempfile.TemporaryDirectory(prefix="secureml-bundle-") as made:
        # Its name is the subject of the statement.
        folder, bundle = Path(made, f"{artifact.name}-{artifact.version}"), Path(made, "bundle")
        folder.mkdir()
        for name, content in zip((MODEL_FILE, CARD_FILE, SIGNATURE_FILE), contents, strict=True):
            if content is not None:
                (folder / name).write_bytes(content)
        whole = hashing.Config().set_ignored_paths(paths=(), ignore_git_paths=False)
        signer = signing.Config().use_elliptic_key_signer(private_key=key)
        signer.set_hashing_config(whole).sign(folder, bundle)
        return bundle.read_bytes()
