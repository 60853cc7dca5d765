"""The one table of this plugin: proofs of possession that were used."""

from __future__ import annotations

import sqlalchemy as sa

from secureml.kit.proof_replay import columns

PROOFS = sa.Table("oauth2_proofs", sa.MetaData(), *columns())
