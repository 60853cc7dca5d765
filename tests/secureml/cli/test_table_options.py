"""What is said of columns on a command line."""

from __future__ import annotations

import click
import pytest

from secureml.cli.table_options import read_pairs, said_of_table


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ((), {}),
        (("zip=text,age=integer",), {"zip": "text", "age": "integer"}),
        (("zip=text", "age=integer"), {"zip": "text", "age": "integer"}),
        (("a=b=float",), {"a=b": "float"}),
        (("x=text,price, net=float",), {"x": "text", "price, net": "float"}),
    ],
)
def test_pairs_are_read_whatever_signs_a_name_holds(given, found):
    assert read_pairs(given, "--types") == found


@pytest.mark.parametrize("given", ["a", "=text", "a=", "a=text,b", ""])
def test_what_is_no_pair_is_refused(given):
    with pytest.raises(click.BadParameter, match="COLUMN=WORD"):
        read_pairs((given,), "--types")


def test_they_are_taken_out_of_the_words_of_the_command():
    words = {
        "types": ("a=text",), "missing": (), "unknown": ("*=refuse",), "separator": ";",
        "decimal": None, "encoding": None, "use": True,
    }  # fmt: skip
    found = said_of_table(words)

    assert words == {"use": True}
    assert found == {
        "types": {"a": "text"}, "missing": {}, "unknown": {"*": "refuse"}, "csv": {"separator": ";"}
    }  # fmt: skip
