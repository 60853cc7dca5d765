"""JSON with one meaning: whatever two readers could read differently is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.kit.strict_json import loads, loads_object

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), inner
    ),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_what_json_can_carry_comes_back(value):
    text = json.dumps(value)
    assert loads(text) == loads(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": {"b": 1, "b": 2}}',
        '[{"a": 1, "\\u0061": 2}]',
        "NaN",
        '{"exp": Infinity}',
        "[-Infinity]",
        '"\\ud800"',
        '{"\\udfff": 1}',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        "",
        "{} {}",
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_attack_what_two_readers_could_read_differently_is_refused(text):
    """A name given twice, no numbers, half a character, a byte order mark, endless nesting."""
    with pytest.raises(ValueError):
        loads(text)


@pytest.mark.parametrize("text", ["[]", '"a"', "1", "null", "true"])
def test_where_an_object_is_wanted_nothing_else_is_one(text):
    with pytest.raises(ValueError, match="not an object"):
        loads_object(text)
    assert loads_object('{"a": 1}') == {"a": 1}
