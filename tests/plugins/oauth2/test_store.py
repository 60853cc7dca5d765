"""The table of used proofs."""

from __future__ import annotations

from plugins.oauth2.store import PROOFS


def test_a_proof_is_kept_once_by_its_digest():
    assert PROOFS.name == "oauth2_proofs"
    assert [column.name for column in PROOFS.primary_key] == ["digest"]


def test_what_is_searched_for_has_an_index():
    indexed = {column.name for index in PROOFS.indexes for column in index.columns}
    assert indexed == {"ends", "holder"}
