"""One strict reading of JSON: what passes, what does not, and why."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.pipeline.body import Limits, read_form, read_json
from secureml.pipeline.problems import Problem
from tests.corpora import JSON, NO_JSON

LIMITS = Limits()


def code_of(body: bytes, limits: Limits = LIMITS) -> str:
    """Return the code a body is refused with, or "" when it is accepted."""
    try:
        read_json(body, limits)
    except Problem as problem:
        return problem.code
    return ""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": "\n"}', "malformed_json"),
        (b'\xef\xbb\xbf{"a": 1}', "malformed_json"),
        ('{"a": "é"}'.encode("latin-1"), "malformed_json"),
        ('{"a": 1}'.encode("utf-16"), "malformed_json"),
        (b'{"a": "\\ud800"}', "malformed_json"),
        (b'{"a": 1} {"b": 2}', "malformed_json"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate_key"),
        (b'{"a": NaN}', "not_a_number"),
        (b'{"a": Infinity}', "not_a_number"),
        (b'{"a": -Infinity}', "not_a_number"),
        (b'{"a": 1e999}', "not_a_number"),
        (b'{"a": -1E+999}', "not_a_number"),
        (b'{"a": 1e0999}', "not_a_number"),
        (b'{"a": ' + b"9" * 400 + b"}", "not_a_number"),
        (b'{"a": ' + b"9" * 400 + b".5}", "not_a_number"),
        (b'{"a": ' + b"9" * 290 + b"e99}", "not_a_number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not_a_number"),
        (b"[" * 100_000, "json_too_deep"),
        (b"[" * 9 + b"]" * 9, "json_too_deep"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "json_too_deep"),
        (b'[{"a":' * 5 + b"1" + b"}]" * 5, "json_too_deep"),
        (json.dumps({"a": "x" * 4097}).encode(), "json_too_large"),
        (json.dumps({"k" * 4097: 1}).encode(), "json_too_large"),
        (json.dumps({"a": [["\u00e9" * 2049]]}).encode(), "json_too_large"),
        (json.dumps({"\U0001f600" * 1025: 1}).encode(), "json_too_large"),
        (json.dumps({"a": "x" * 4097, "b": "\u00e9"}).encode(), "json_too_large"),
        (json.dumps({str(n): n for n in range(1001)}).encode(), "json_too_large"),
    ],
)
def test_what_is_not_strict_json_is_refused_with_its_own_code(body, code):
    """Each fault has a stable public code."""
    assert code_of(body) == code


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1e308}',
        b'{"a": 1e-999}',
        b'{"a": -0.0}',
        b"[" * 8 + b"]" * 8,
        b'[{"a":' * 4 + b"1" + b"}]" * 4,
        b'{"a": "[[[[[[[[[[[[[[["}',
        b'{"a": "\\"[[[[[[[[[["}',
        b'{"a": "\\\\", "b": "]]]]]"}',
        '{"ä": "\U0001f600"}'.encode(),
        b'{"a": "\\ud83d\\ude00"}',
        json.dumps({"a": "x" * 4096}).encode(),
        json.dumps({"a": "\u00e9" * 2048}).encode(),
        json.dumps({"\U0001f600" * 1024: ["\u00e9" * 2048]}).encode(),
        json.dumps({str(n): n for n in range(1000)}).encode(),
    ],
)
def test_the_last_value_inside_each_limit_is_accepted(body):
    """One below the limit passes; brackets inside strings do not nest."""
    assert read_json(body, LIMITS) == json.loads(body)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth_of(value) -> int:
    """Count levels of arrays and objects."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(json_values)
def test_every_json_value_comes_back_as_python_reads_it_or_is_too_deep(value):
    """The C-speed depth count agrees with walking the value."""
    body = json.dumps(value).encode()

    if depth_of(value) > LIMITS.depth:
        assert code_of(body) == "json_too_deep"
    else:
        assert read_json(body, LIMITS) == value


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_problem(body):
    """Whatever arrives, the worker lives."""
    assert code_of(body) in {
        "",
        "malformed_json",
        "duplicate_key",
        "not_a_number",
        "json_too_deep",
        "json_too_large",
    }


@given(st.text(alphabet='[]{}",:0123456789eE+-.\\ untrfalsNI', max_size=60))
def test_no_near_json_text_raises_anything_but_a_problem(text):
    """The same for text close to JSON."""
    code_of(text.encode())


needs_corpus = pytest.mark.skipif(JSON is None, reason=NO_JSON)


@needs_corpus
def test_the_corpus_of_broken_json_is_refused_and_of_sound_json_accepted():
    """n_ files must be refused; y_ files accepted, save for two rules stricter than RFC 8259."""
    stricter = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
    wrong = [
        path.name
        for path in sorted(JSON.glob("[ny]_*.json"))
        if bool(code_of(path.read_bytes(), Limits(depth=512)))
        is (path.name.startswith("y_") and path.name not in stricter)
    ]

    assert wrong == []


# -- forms ----------------------------------------------------------------------------------


def test_a_form_is_read_once_each_and_without_what_is_empty():
    """RFC 6749, 3.2: a parameter without a value was not sent."""
    assert read_form(b"a=1&b=%C3%A9+x&c=", Limits()) == {"a": "1", "b": "\xe9 x"}
    assert read_form(b"", Limits()) == {}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"a=1&a=2", "payload.repeated_parameter"),
        (b"a=1&a=", "payload.repeated_parameter"),
        (b"a", "payload.form"),
        (b"a=1&&b=2", "payload.form"),
        (b"a=%ff", "payload.form"),
        (b"a=\xc3\xa9", "payload.form"),
        (b"&".join(b"x%d=1" % number for number in range(11)), "payload.form"),
        (b"a=" + b"x" * 21, "payload.long_parameter"),
    ],
)
def test_a_form_that_two_readers_could_read_differently_is_refused(body, reason):
    """Nor one beyond the limits."""
    with pytest.raises(Problem) as refused:
        read_form(body, Limits(keys=10, string=20))
    assert (refused.value.code, refused.value.reason) == ("malformed_request", reason)
