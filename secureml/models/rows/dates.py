"""Dates as clients send them: ISO 8601 without a zone, read into NumPy's times."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

# Years that nanoseconds of 64 bits can count: pandas' own range before version 3.
_DATE = re.compile(
    r"(1[789]|2[01])[0-9]{2}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?",
    re.ASCII,
)


def is_date(text: str) -> bool:
    """Tell whether a text is a date or time from 1700 to 2199 as `read_date` reads it."""
    try:
        read_date(text)
    except ValueError:
        return False
    return True


def read_date(text: str) -> np.datetime64:
    """Return the microsecond that a text such as 2026-01-31T12:00:00 names; raises ValueError."""
    if not _DATE.fullmatch(text):
        raise ValueError("not a date")
    return np.datetime64(text, "us")


def nothing() -> Any:
    """Return what stands for a date that is missing."""
    return np.datetime64("NaT", "us")
