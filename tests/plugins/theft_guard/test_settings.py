from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.theft_guard.assessor import ALL, BLOCK, CLIENT
from plugins.theft_guard.settings import Config, policy_for


def test_a_block_is_never_held_and_everyone_only_flagged():
    table = Config().load({"actions": ["coarsen", "hold"], "budget": 9})
    client, block, everyone = (
        policy_for(table, kind, lambda low, high: low) for kind in (CLIENT, BLOCK, ALL)
    )

    assert client.levels == ("watched", "flag", "coarsen", "hold")
    assert block.levels == ("watched", "flag", "coarsen")
    assert everyone.levels == ("watched", "flag")
    assert (client.budget, block.budget) == (9, 0)


@pytest.mark.parametrize(
    "table",
    [{"actions": ["throttle", "coarsen"]}, {"threshold": 1.0}, {"coarsening": "none"}, {"word": 1}],
)
def test_what_makes_no_sense_is_refused(table):
    with pytest.raises(ValidationError):
        Config().load(table)
