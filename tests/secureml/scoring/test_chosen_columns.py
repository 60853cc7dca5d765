from __future__ import annotations

import pytest

from secureml.models.card import Feature
from secureml.scoring.chosen_columns import choose
from secureml.scoring.refused import NotScored
from tests.made_card import card

CARD = card(Feature("a"), Feature("b", missing="allow"), Feature("c"))


def refused(*words):
    with pytest.raises(NotScored) as why:
        choose("in.csv", *words)
    return str(why.value)


def test_columns_are_found_by_name_in_whatever_order():
    assert choose("f", ("c", "x", "a", "b"), CARD, ("x",), ()) == ((2, 3, 0), (1,))


def test_a_feature_that_may_be_missing_may_have_no_column():
    assert choose("f", ("a", "c"), CARD, (), ()).features == (0, None, 1)


def test_a_feature_may_pass_through_as_well():
    assert choose("f", ("a", "b", "c"), CARD, ("b",), ()) == ((0, 1, 2), (1,))


def test_a_column_that_the_model_does_not_take_is_refused_unless_it_is_named():
    header = ("a", "b", "c", "customer")
    assert "unknown_feature" in refused(header, CARD, (), ())
    assert "--ignore COLUMN to leave it out" in refused(header, CARD, (), ())
    assert choose("f", header, CARD, (), ("customer",)).kept == ()


def test_a_feature_that_is_not_there_is_refused():
    assert "in.csv lacks 'c'" in refused(("a", "b"), CARD, (), ())


def test_an_option_that_names_no_column_is_refused():
    assert "--keep names 'x'" in refused(("a", "c"), CARD, ("x",), ())
    assert "--ignore names 'x'" in refused(("a", "c"), CARD, (), ("x",))


@pytest.mark.parametrize(
    ("header", "why"), [(("a", "", "c"), "without a name"), (("a", "c", "a"), "two columns 'a'")]
)
def test_a_header_that_names_not_each_column_once_is_refused(header, why):
    assert why in refused(header, CARD, (), ())
