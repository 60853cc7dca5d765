from __future__ import annotations

import pytest

from secureml.models.card import LIBRARIES, Card, Feature, Golden
from secureml.models.rows.cells import LIMIT, CellReader, escape
from secureml.models.rows.refused import RowsRefused

CARD = Card(
    name="m",
    version="1",
    created="2026-01-01T00:00:00Z",
    kind="regressor",
    features=(Feature("a"), Feature("n", "integer", missing="allow")),
    classes=None,
    has_probabilities=False,
    container="array",
    source="none",
    versions=dict.fromkeys(LIBRARIES, "1"),
    globals=(),
    digest="0" * 64,
    source_digest="1" * 64,
    golden=Golden(((0, 0),), (0,), None),
)


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("plain", "plain"),
        ("a/b", "a~1b"),
        ("a~b", "a~0b"),
        ("~1", "~01"),
        ('é "', 'é "'),
    ],
)
def test_a_name_is_escaped_as_rfc_6901_says(name, pointer):
    assert escape(name) == pointer


def test_whole_numbers_may_be_spelled_either_way():
    assert CellReader(CARD).read([[1, 2], [1.5, 2.0]]) == [[1.0, 2.0], [1.5, 2.0]]


def test_reading_stops_at_the_limit_and_not_at_the_end():
    class Endless(list):
        pass

    rows = [["x", 1]] * LIMIT + [Endless()]
    with pytest.raises(RowsRefused) as refused:
        CellReader(CARD).read(rows)

    assert refused.value.faults[-1] == (f"/instances/{LIMIT - 1}/0", "type")


def test_a_list_in_disguise_is_not_a_list():
    class Disguised(dict):
        pass

    with pytest.raises(RowsRefused) as refused:
        CellReader(CARD).read([Disguised(a=1, n=1)])

    assert refused.value.faults == [("/instances/0", "instance_type")]


def test_faults_of_several_cells_of_a_row_are_told_together():
    with pytest.raises(RowsRefused) as refused:
        CellReader(CARD).read([{"a": None, "n": 0.5}])

    assert refused.value.faults == [("/instances/0/a", "missing_value"), ("/instances/0/n", "type")]
