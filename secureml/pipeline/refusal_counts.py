"""What the refusals of one window come to: numbers by subject and kind, all with an end.

However many subjects there are, and however many kinds of refusal each of them finds, what is
kept is bounded, and its numbers add up to what was counted: what has no room of its own is
counted less exactly, in the end in one number of all the others. Knows no request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from secureml.pipeline.events import Fact

SUBJECTS = 1000  # known by name in one window, of each sort; whoever comes later is "the others"
KINDS = 16  # kinds of refusal of one subject that have a number of their own, and as many events
FULL = 300  # written in full in one window, of each sort; or as many as one subject may have
NEWS = 100  # events of counted refusals that are written all the same, because they are new
NUMBERS = 300  # different numbers in one window, of each sort
OTHER_SUBJECTS = "*"


class Refused(NamedTuple):
    """What refused requests are counted by; all of it empty for kinds beyond the most."""

    status: int = 0
    code: str = ""
    route: str = ""


class Noted(NamedTuple):
    """What an event of a refused request is counted by; ``name`` alone beyond the most."""

    name: str = ""
    client: str = ""
    facts: tuple[tuple[str, Fact], ...] = ()


What = Refused | Noted


@dataclass(slots=True)
class Number:
    """How many, and when the first and the last of them came; epoch seconds."""

    count: int
    first: float
    last: float


@dataclass(slots=True)
class Account:
    """One subject in one window."""

    subject: str
    full: int = 0
    seen: set[Noted] = field(default_factory=set)
    numbers: dict[What, Number] = field(default_factory=dict)

    def add(self, what: What, number: Number) -> bool:
        """Add to a number; tell whether it is a new one."""
        found = self.numbers.get(what)
        if found is None:
            self.numbers[what] = Number(number.count, number.first, number.last)
            return True
        found.count += number.count
        found.first = min(found.first, number.first)
        found.last = max(found.last, number.last)
        return False


class Pool:
    """One sort of subjects, strangers or callers, in one window."""

    def __init__(self, sort: str, in_full: int) -> None:
        self._in_full, self._most_full = in_full, max(FULL, in_full)
        self._full = self._news = self._numbers = 0
        self._accounts: dict[str, Account] = {}
        self._others = Account(f"{sort}:{OTHER_SUBJECTS}")

    def account(self, subject: str) -> Account:
        """Return the account of a subject, or that of all the others."""
        found = self._accounts.get(subject)
        if found is None:
            if len(self._accounts) >= SUBJECTS:
                return self._others
            found = self._accounts[subject] = Account(subject)
        return found

    def takes(self, account: Account) -> bool:
        """Tell whether one more refusal is written in full."""
        if account is self._others or account.full >= self._in_full:
            return False
        if self._full >= self._most_full:
            return False
        account.full += 1
        self._full += 1
        return True

    def is_news(self, account: Account, event: Noted) -> bool:
        """Tell whether an event of a counted refusal says what no other of this window did.

        That somebody was banned, or that a stolen token came back, must not go down in the noise
        which the same subject makes.
        """
        if account is self._others or event in account.seen:
            return False
        if len(account.seen) >= KINDS or self._news >= NEWS:
            return False
        account.seen.add(event)
        self._news += 1
        return True

    def remember(self, account: Account, event: Noted) -> None:
        """Keep in mind an event that was written in full."""
        if len(account.seen) < KINDS:
            account.seen.add(event)

    def count(self, account: Account, what: What, number: Number) -> None:
        """Count what is not written in full, as exactly as there is room for."""
        for account_, kind in self._accounts_for(account, what):
            if kind in account_.numbers:
                account_.add(kind, number)
                return
            if self._has_room(account_):
                self._numbers += account_.add(kind, number)
                return
        # Of these there is one for each sort of number, and always room.
        self._others.add(type(what)(), number)

    def _accounts_for(self, account: Account, what: What) -> Iterator[tuple[Account, What]]:
        coarse = what._replace(route="") if isinstance(what, Refused) else Noted(what.name)
        if account is not self._others:
            yield account, what
            yield account, coarse
        yield self._others, coarse

    def _has_room(self, account_: Account) -> bool:
        return self._numbers < NUMBERS and len(account_.numbers) < 2 * KINDS

    def numbers(self) -> Iterator[tuple[str, What, Number]]:
        """Yield what was counted, and about whom."""
        for account in (*self._accounts.values(), self._others):
            for what, number in account.numbers.items():
                yield account.subject, what, number
