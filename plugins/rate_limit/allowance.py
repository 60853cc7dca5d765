"""How much is allowed, read from a sentence: ``1000 per minute``, ``8 at once``, ``5000 ever``.

What `limits` can count is handed to it in its own notation; only ``at once``, ``ever`` and
``per calendar month`` are words of ours. Anything else raises ValueError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

RATE, AT_ONCE = "rate", "at once"
DAY = 86400
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": DAY, "month": 30 * DAY,
            "year": 360 * DAY}  # fmt: skip
_SHAPE = re.compile(
    r"([1-9][0-9_]{0,15}) (?:(at once)|(ever)|per (calendar month)|"
    r"per (?:([1-9][0-9]{0,4}) )?(second|minute|hour|day|month|year)s?)"
)
_LARGEST = 10**12
_SAY = (
    "say it like 1000 per minute, 10 per 30 seconds, 8 at once, "
    "5000 per calendar month or 5000 ever"
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """``amount`` in ``seconds``; ``notation`` is the same for `limits`, "" for at once.

    ``seconds`` is None where nothing ever comes back. ``calendar`` windows end with the month
    (UTC), all others as their strategy says.
    """

    text: str
    amount: int
    form: str
    notation: str
    seconds: int | None
    calendar: bool = False

    @property
    def lasting(self) -> bool:
        """Tell whether it outlives a restart of the machine: a window of a day or more."""
        return self.form == RATE and (self.seconds is None or self.seconds >= DAY)


def read(text: str) -> Allowance:
    """Return what a sentence allows; raises ValueError."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(_SAY)
    amount = int(match[1].replace("_", ""))
    if amount > _LARGEST:
        raise ValueError(f"the most that can be counted is {_LARGEST}")
    if match[2]:
        if amount > 1024:
            raise ValueError("the most at once is 1024")
        return Allowance(text, amount, AT_ONCE, "", None)
    if match[3]:
        return Allowance(text, amount, RATE, f"{amount} per 100 year", None)
    if match[4]:
        # Counted under the month's own name, so it need only be kept until that is over.
        return Allowance(text, amount, RATE, f"{amount} per 32 day", 31 * DAY, calendar=True)
    multiple, unit = int(match[5] or 1), match[6]
    notation = f"{amount} per {multiple} {unit}"
    return Allowance(text, amount, RATE, notation, multiple * _SECONDS[unit])


def month(now: float) -> tuple[str, float]:
    """Return the name of the month (UTC) and the epoch second at which it ends."""
    here = datetime.fromtimestamp(now, UTC)
    following = (here.year + 1, 1) if here.month == 12 else (here.year, here.month + 1)
    return f"{here:%Y-%m}", datetime(*following, 1, tzinfo=UTC).timestamp()
