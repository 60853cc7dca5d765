"""Credentials in a query: found wherever they stand, in time that grows with it and no more."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml.kit.credential_in_url import carries_credential

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwcyJ9.c2lnbmF0dXJl"
# What the searches replace: right, and quadratic.
REFERENCE = re.compile(
    r"(?:^|&)(?:access_token|refresh_token|client_secret)=|eyJ[\w-]+\.eyJ", re.ASCII
)


@pytest.mark.parametrize(
    "query",
    [
        f"x={TOKEN}", TOKEN, f"a=1&b={TOKEN}&c", f"a.b.c{TOKEN}", TOKEN.replace(".", "%2E"),
        "access_token=x", "client_secret=x", "a&refresh_token=", "access%5Ftoken=x",
        "%61ccess_token=x",
        "a=.eyJ&b=eyJx.eyJ",
    ],
)  # fmt: skip
def test_a_token_is_found(query):
    assert carries_credential(query)


@pytest.mark.parametrize(
    "query",
    [
        "a=1",
        "q=eyJ",
        "my_access_token=x",
        "access_token",
        "eyJ.eyJ",
        "eyJa.b.eyJ",
        "eyJ a.eyJ",
        "%zz",
    ],
)
def test_what_is_no_token_passes(query):
    assert not carries_credential(query)


PREFIXES = ("srt_", "scs_")


def test_an_opaque_token_is_found_under_any_name_by_its_prefix():
    assert carries_credential("x=srt_" + "a" * 43, PREFIXES)
    assert carries_credential("scs_scs_" + "-" * 43, PREFIXES)
    assert not carries_credential("x=srt_" + "a" * 42, PREFIXES)
    assert not carries_credential("x=srt_" + "a" * 20 + "!" + "a" * 30, PREFIXES)
    assert not carries_credential("x=srt_" + "a" * 43)


@given(
    st.lists(
        st.sampled_from(["eyJ", ".", "a", "-", "&", "access_token", "client_secret", "=", "é", " "])
    )
)
def test_it_finds_what_a_regular_expression_would(parts):
    query = "".join(parts)
    assert carries_credential(query) == bool(REFERENCE.search(query))


@pytest.mark.parametrize(
    "piece",
    [
        "eyJ",
        "eyJ.",
        ".eyJ",
        "eyJ-",
        "access_token",
        "srt_",
        "srt_a",
        "srt_scs_",
        "&",
        "%",
        "%2E",
        "%e",
        "a",
    ],
)
def test_attack_a_long_query_costs_time_in_proportion(piece):
    """Sixteen times the text takes sixteen times as long, not two hundred: the best of several."""

    def best(size):
        query, found = (piece * size)[:size], []
        for _ in range(5):
            begin = time.perf_counter()
            carries_credential(query, PREFIXES)
            found.append(time.perf_counter() - begin)
        return min(found)

    assert best(320_000) < 80 * max(best(20_000), 1e-4)


def test_parameters_of_another_kind_are_named_by_the_caller():
    ours = ("access_token=",)
    assert carries_credential("access_token=x", parameters=ours)
    assert not carries_credential("client_secret=x", parameters=ours)
