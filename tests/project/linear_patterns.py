"""Whether a regular expression takes time in proportion to its text, proven from its structure.

A backtracking engine is slow where one text can be matched in many ways. How many ways there are
is a property of the automaton behind an expression (Weber and Seidl, 1991): they grow without
bound exactly where some text leads from a state p back to p, from p to another state q, and
from q back to q; or from a state back to itself on two paths. Neither is allowed here, so the
number of ways is bounded by a constant, and so is the work for each character.

Counts above three are read as three, and those above 256 as no bound at all. A search is one
with any text before it, because the engine tries each beginning.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import product
from re import _constants as words
from re import _parser as parser

COPIES, LONG = 3, 256
# Every Latin-1 character, and one of each kind beyond.
ALPHABET = [chr(code) for code in (*range(256), 0x100, 0x660, 0x2028, 0x4E00, 0xD800, 0x1F600)]
EVERY = frozenset(ALPHABET)
_CATEGORIES = {
    words.CATEGORY_DIGIT: r"\d", words.CATEGORY_NOT_DIGIT: r"\D",
    words.CATEGORY_SPACE: r"\s", words.CATEGORY_NOT_SPACE: r"\S",
    words.CATEGORY_WORD: r"\w", words.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


class NotLinear(Exception):
    """An expression that can take more than linear time, or that cannot be judged."""


@dataclass
class Part:
    """A piece of an expression: where it begins and ends, and whether it may be empty."""

    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    empty: bool = True


@dataclass
class Automaton:
    """Positions with the characters they take, and how many ways lead from each to the next."""

    flags: int
    takes: list[frozenset[str]] = field(default_factory=list)
    ways: Counter[tuple[int, int]] = field(default_factory=Counter)

    def leaf(self, characters):
        self.takes.append(characters)
        here = frozenset({len(self.takes) - 1})
        return Part(here, here, empty=False)

    def join(self, left, right):
        self.ways.update(product(left.last, right.first))
        return Part(
            left.first | (right.first if left.empty else frozenset()),
            right.last | (left.last if right.empty else frozenset()),
            left.empty and right.empty,
        )

    def sequence(self, items):
        whole = Part()
        for item in items:
            whole = self.join(whole, self.part(*item))
        return whole

    def part(self, kind, what):
        if kind in (words.LITERAL, words.NOT_LITERAL, words.ANY, words.IN):
            return self.leaf(self.characters(kind, what))
        if kind is words.AT:
            return Part()
        if kind in (words.MAX_REPEAT, words.MIN_REPEAT, words.POSSESSIVE_REPEAT):
            return self.repeat(*what)
        if kind is words.SUBPATTERN:
            return self.sequence(what[3])
        if kind is words.ATOMIC_GROUP:
            return self.sequence(what)
        if kind is words.BRANCH:
            parts = [self.sequence(branch) for branch in what[1]]
            if sum(part.empty for part in parts) > 1:
                raise NotLinear("two alternatives that may both be empty")
            return Part(
                frozenset().union(*(part.first for part in parts)),
                frozenset().union(*(part.last for part in parts)),
                any(part.empty for part in parts),
            )
        if kind in (words.ASSERT, words.ASSERT_NOT):
            _demand_linear(what[1], self.flags, searches=False)
            return Part()
        raise NotLinear(f"{kind} cannot be judged")

    def repeat(self, least, most, items):
        endless = most is words.MAXREPEAT or most > LONG
        must = min(least, COPIES)
        parts = [self.sequence(items) for _ in range(must)]
        if endless:
            parts.append(self.loop(self.sequence(items)))
        else:
            rest = Part()
            for _ in range(min(most, COPIES) - must):  # X{0,2} is (X(X)?)?
                rest = self.join(self.sequence(items), rest)
                rest.empty = True
            parts.append(rest)
        whole = Part()
        for part in parts:
            whole = self.join(whole, part)
        return whole

    def loop(self, body):
        if body.empty:
            raise NotLinear("what is repeated may be empty")
        self.ways.update(product(body.last, body.first))
        return Part(body.first, body.last, empty=True)

    def characters(self, kind, what):
        if kind is words.ANY:
            return EVERY if self.flags & re.DOTALL else EVERY - {"\n"}
        if kind is words.LITERAL:
            return frozenset({chr(what)})
        if kind is words.NOT_LITERAL:
            return EVERY - {chr(what)}
        found, negated = set(), False
        for sort, value in what:
            if sort is words.NEGATE:
                negated = True
            elif sort is words.CATEGORY:
                named = re.compile(_CATEGORIES[value], self.flags & re.ASCII)
                found |= {one for one in ALPHABET if named.match(one)}
            elif sort is words.RANGE:
                found |= {one for one in ALPHABET if value[0] <= ord(one) <= value[1]}
            else:
                found.add(chr(value))
        return EVERY - found if negated else frozenset(found)

    # -- what is not allowed ------------------------------------------------------------------

    def judge(self):
        following = {here: [] for here in range(len(self.takes))}
        for here, after in self.ways:
            following[here].append(after)
        reach = {here: _reached(here, following) for here in following}
        for (here, after), number in self.ways.items():
            if number > 1 and here in reach[after]:
                raise NotLinear("one repetition inside another that is not told apart from it")
        circles = [here for here in following if here in reach[here]]
        for here in circles:
            self._refuse_two_ways_round(here, following)
            for other in circles:
                if other != here and other in reach[here]:
                    self._refuse(here, other, following)

    def _refuse_two_ways_round(self, here, following):
        parted = {(a, b) for a, b in self._walk((here, here), following) if a != b}
        if any((here, here) in self._walk(pair, following) for pair in parted):
            raise NotLinear("a repetition that takes one text in two ways")

    def _refuse(self, here, other, following):
        if (here, other, other) in self._walk((here, here, other), following):
            raise NotLinear("two repetitions that can share one text between them")

    def _walk(self, begin, following):
        """Return where several heads that read one text together can come to."""
        seen, waiting = set(), deque([begin])
        while waiting:
            for after in product(*(following[here] for here in waiting.popleft())):
                common = EVERY.intersection(*(self.takes[here] for here in after))
                if common and after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return seen


def _reached(begin, following):
    seen, waiting = set(), deque([begin])
    while waiting:
        for after in following[waiting.popleft()]:
            if after not in seen:
                seen.add(after)
                waiting.append(after)
    return seen


def demand_linear(pattern, flags=0, *, searches=True):
    """Raise NotLinear unless an expression takes time in proportion to its text."""
    if isinstance(pattern, bytes):
        pattern = pattern.decode("latin-1")
        flags |= re.ASCII
    tree = parser.parse(pattern, flags & ~re.UNICODE)
    if tree.state.flags & (re.IGNORECASE | re.MULTILINE):
        raise NotLinear("IGNORECASE and MULTILINE cannot be judged: write the letters out")
    _demand_linear(tree, tree.state.flags, searches=searches and not _is_anchored(tree))


def _demand_linear(tree, flags, *, searches):
    automaton = Automaton(flags)
    before = automaton.loop(automaton.leaf(EVERY)) if searches else Part()
    automaton.join(before, automaton.sequence(tree))
    automaton.judge()


def _is_anchored(tree):
    return bool(tree) and tree[0] in (
        (words.AT, words.AT_BEGINNING),
        (words.AT, words.AT_BEGINNING_STRING),
    )
