"""Only what its key has signed is a checkpoint."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plugins.audit_log import checkpoint
from plugins.audit_log.checkpoint import Checkpoint


def test_a_checkpoint_of_another_signer_counts_for_nothing() -> None:
    ours, theirs = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    low, high = Checkpoint(3, "a" * 64, "t"), Checkpoint(9, "b" * 64, "t")
    content = checkpoint.sign(ours, low) + checkpoint.sign(theirs, high) + b"noise\n"

    assert checkpoint.latest(content, ours.public_key()) == (low, 2)
    text = checkpoint.public_text(theirs.public_key())
    assert checkpoint.latest(content, checkpoint.public_key(text)) == (high, 1), (
        "only what had to be looked at is counted"
    )


def test_a_checkpoint_that_was_changed_is_no_checkpoint() -> None:
    key = Ed25519PrivateKey.generate()
    content = checkpoint.sign(key, Checkpoint(30, "a" * 64, "t")).replace(b":30,", b":3,")
    assert checkpoint.latest(content, key.public_key()) == (None, 1)


def test_a_key_of_another_kind_signs_no_checkpoints() -> None:
    with pytest.raises(checkpoint.InvalidKey):
        checkpoint.private_key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    text = checkpoint.public_text(Ed25519PrivateKey.generate().public_key())
    with pytest.raises(checkpoint.InvalidKey):
        checkpoint.public_key(text[:-4])
