"""The topic of changes, the table of used proofs, and what a write may depend on."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from secureml.kit.proof_replay import columns

TOPIC = "oauth2_server"
PROOFS = sa.Table("oauth2_server_proofs", sa.MetaData(), *columns())
# Asked in the transaction that writes something: whether it may be written still.
Condition = Callable[[sa.Connection], bool]


def always(connection: sa.Connection) -> bool:
    """Be the condition of what depends on nothing."""
    return True
