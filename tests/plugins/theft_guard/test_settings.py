from __future__ import annotations

import pytest
from marshmallow import ValidationError

from plugins.theft_guard.guard import ALL, BLOCK, CLIENT
from plugins.theft_guard.settings import Config, terms_of


def test_a_block_is_never_held_and_everyone_only_flagged():
    table = Config().load({"answers": ["coarsen", "hold"], "budget": 9})
    client, block, everyone = (
        terms_of(table, kind, lambda low, high: low) for kind in (CLIENT, BLOCK, ALL)
    )

    assert client.ladder == ("watched", "flag", "coarsen", "hold")
    assert block.ladder == ("watched", "flag", "coarsen")
    assert everyone.ladder == ("watched", "flag")
    assert (client.budget, block.budget) == (9, 0)


@pytest.mark.parametrize(
    "table",
    [{"answers": ["throttle", "coarsen"]}, {"threshold": 1.0}, {"coarse": "none"}, {"word": 1}],
)
def test_what_makes_no_sense_is_refused(table):
    with pytest.raises(ValidationError):
        Config().load(table)
