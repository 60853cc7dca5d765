"""Rules as text: a small closed language, read once and never evaluated as code.

    rule      = condition | "if" condition "then" condition | feature "in" "range"
    condition = test {"and" test} | test {"or" test}
    test      = sum ("<=" | "<" | ">=" | ">" | "==" | "!=") sum ["within" number ["%"]]
              | feature ("==" | "!=") (string | "true" | "false")
              | feature ["not"] "in" "[" value {"," value} "]"
              | feature ("present" | "missing")
    sum       = product {("+" | "-") product}
    product   = factor {"*" factor}
    factor    = ["-"] number | feature | "length" "(" feature ")"
    value     = ["-"] number | string | "true" | "false"
    feature   = a word, or anything between backquotes

Reading takes time in proportion to the text, which is short, and nothing nests.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple, NoReturn

from .rule import (
    Compare,
    Condition,
    IfThen,
    InRange,
    Member,
    Operand,
    Parsed,
    Presence,
    RuleError,
    Sum,
    Term,
    Test,
    Value,
)

TEXT_LIMIT = 500
_COMPARISONS = ("<=", "<", ">=", ">", "==", "!=")
_TRUTHS = {"true": True, "false": False}
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r'|(?P<string>"[^"]*")'
    r"|(?P<feature>`[^`]+`)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign><=|>=|==|!=|[<>+*()\[\],%-])"
)
_KEYWORDS = frozenset(
    {*_TRUTHS, "if", "then", "and", "or", "not", "in", "range"}
    | {"present", "missing", "within", "length"}
)


class _Token(NamedTuple):
    kind: str
    text: str


_END = _Token("end", "the end")


def parse(text: str) -> Parsed:
    """Read a rule; raises RuleError."""
    if len(text) > TEXT_LIMIT:
        raise RuleError(f"a rule has at most {TEXT_LIMIT} characters")
    return _Reader(_tokens(text)).rule()


def _tokens(text: str) -> list[_Token]:
    found = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise RuleError(f"nothing in a rule begins with {text[position : position + 10]!r}")
        found.append(_token(match.lastgroup, match[0]))
        position = match.end()
    return found


def _token(kind: str, text: str) -> _Token:
    if kind == "word":
        return _Token("keyword" if text in _KEYWORDS else "feature", text)
    return _Token(kind, text[1:-1] if kind == "feature" else text)


class _Reader:
    """Reads tokens from left to right, never going back."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._position = tokens, 0

    def rule(self) -> Parsed:
        parsed = self._any_rule()
        if self._now is not _END:
            self._refuse("the end of the rule")
        return parsed

    def _any_rule(self) -> Parsed:
        if self._take("if"):
            when = self._condition()
            self._expect("then")
            return IfThen(when, self._condition())
        after = [token.text for token in self._tokens[1:]]
        if after == ["in", "range"] and self._tokens[0].kind == "feature":
            self._position = len(self._tokens)
            return InRange(self._tokens[0].text)
        return self._condition()

    def _condition(self) -> Condition:
        tests = [self._test()]
        joint = "or" if self._now == _Token("keyword", "or") else "and"
        while self._take(joint):
            tests.append(self._test())
        if self._now.text in ("and", "or") and self._now.kind == "keyword":
            self._refuse("`and` everywhere or `or` everywhere, not both,")
        return Condition(joint, tuple(tests))

    def _test(self) -> Test:
        if self._now.kind == "feature":
            name, follows = self._now.text, self._after(1)
            if follows in ("present", "missing"):
                self._position += 2
                return Presence(name, follows == "present")
            if follows in ("in", "not"):
                self._position += 1
                return self._member(name)
            if follows in ("==", "!=") and self._is_word(2):
                self._position += 2
                return Member(name, (self._value(),), negated=follows == "!=")
        return self._compare()

    def _member(self, name: str) -> Member:
        negated = self._take("not")
        self._expect("in")
        self._expect("[")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect("]")
        return Member(name, tuple(values), negated)

    def _compare(self) -> Compare:
        left = self._sum()
        if self._now.text not in _COMPARISONS or self._now.kind != "sign":
            self._refuse("a comparison")
        sign, right = self._step().text, self._sum()
        if not self._take("within"):
            return Compare(left, sign, right)
        if sign not in ("==", "!="):
            raise RuleError("`within` belongs to == and != only")
        within = self._number()
        return (
            Compare(left, sign, right, within / 100, relative=True)
            if self._take("%")
            else Compare(left, sign, right, within)
        )

    def _sum(self) -> Sum:
        terms = [self._product(1)]
        while self._now.kind == "sign" and self._now.text in "+-":
            terms.append(self._product(-1 if self._step().text == "-" else 1))
        return tuple(terms)

    def _product(self, factor: float) -> Term:
        operands: list[Operand] = []
        while True:
            if self._now.kind == "feature":
                operands.append(Operand(self._step().text))
            elif self._take("length"):
                self._expect("(")
                operands.append(Operand(self._feature(), length=True))
                self._expect(")")
            else:
                factor *= -self._number() if self._take("-") else self._number()
            if not self._take("*"):
                if not math.isfinite(factor):
                    raise RuleError("a number in a rule is too large")
                return Term(factor, tuple(operands))

    def _value(self) -> Value:
        if self._now.kind == "string":
            return self._step().text[1:-1]
        if self._now.kind == "keyword" and self._now.text in _TRUTHS:
            return _TRUTHS[self._step().text]
        return -self._number() if self._take("-") else self._number()

    def _feature(self) -> str:
        return self._step().text if self._now.kind == "feature" else self._refuse("a feature")

    def _number(self) -> float:
        if self._now.kind != "number":
            self._refuse("a number or a feature")
        number = float(self._step().text)
        if not math.isfinite(number):
            raise RuleError("a number in a rule is too large")
        return number

    # -- tokens -------------------------------------------------------------------------------

    @property
    def _now(self) -> _Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def _after(self, steps: int) -> str:
        rest = self._tokens[self._position + steps : self._position + steps + 1]
        return rest[0].text if rest and rest[0].kind in ("keyword", "sign") else ""

    def _is_word(self, steps: int) -> bool:
        rest = self._tokens[self._position + steps : self._position + steps + 1]
        return bool(rest) and (rest[0].kind == "string" or self._after(steps) in _TRUTHS)

    def _step(self) -> _Token:
        self._position += 1
        return self._tokens[self._position - 1]

    def _take(self, text: str) -> bool:
        taken = self._now.kind in ("keyword", "sign") and self._now.text == text
        self._position += taken
        return taken

    def _expect(self, text: str) -> None:
        if not self._take(text):
            self._refuse(f"`{text}`")

    def _refuse(self, wanted: str) -> NoReturn:
        raise RuleError(f"expected {wanted}, found {self._now.text!r}")
