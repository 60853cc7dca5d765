from __future__ import annotations

import pytest

from secureml.models.serving.retirement import headers_of
from secureml.state.deployments import Retirement


@pytest.mark.parametrize(
    ("retirement", "fields"),
    [
        # The very example of RFC 9745, section 2.1.
        (Retirement(1688169599.0, None), {"Deprecation": "@1688169599"}),
        (Retirement(None, 1704067200.0), {"Sunset": "Mon, 01 Jan 2024 00:00:00 GMT"}),
        (
            Retirement(1.9, 2.9, "https://example.org/"),
            {
                "Deprecation": "@1",
                "Sunset": "Thu, 01 Jan 1970 00:00:02 GMT",
                "Link": '<https://example.org/>; rel="deprecation"; type="text/html"',
            },
        ),
        (
            Retirement(None, 2.0, "https://example.org/"),
            {
                "Sunset": "Thu, 01 Jan 1970 00:00:02 GMT",
                "Link": '<https://example.org/>; rel="sunset"; type="text/html"',
            },
        ),
    ],
)
def test_dates_are_written_as_the_standards_say(retirement, fields):
    assert headers_of({"7": retirement}) == {"7": fields}


def test_what_is_not_retired_says_nothing():
    assert headers_of({}) == {}
