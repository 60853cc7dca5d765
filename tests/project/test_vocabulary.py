"""One word for one thing, and the word that the field has for it.

Names that once meant something here and nothing anywhere else. Where a library or a standard has
such a word (``slots`` of a dataclass, a claim of a JWT), it is not on the list.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# Nowhere, in no form, neither in code nor in prose: what stands in its place.
WORDS = {
    "door": "phase",
    "doors": "phases",
    "house": "core, or application",
    "corridor": "pipeline",
    "furnish": "build",
    "desk": "service, or context",
    "office": "service",
    "reception": "the name of what it does",
    "notary": "checkpoint signer",
    "mint": "issuer",
    "vouch": "verify",
    "vouches": "verifies",
    "voucher": "verifier",
    "vouchers": "verifiers",
    "strangeness": "Mahalanobis distance",
    "slant": "Rayleigh quotient",
    "stride": "step",
    "likeness": "typicality",
}
# As a name in code they say nothing; in a sentence they are English.
NAMES = {
    "Asked": "the request, the expectation, the batch",
    "Shown": "what was presented",
    "Wanted": "what is required",
    "Told": "the event",
    "Spoken": "the claims",
    "Believed": "what is verified",
    "Proven": "what is verified",
    "Verdict": "decision, or report",
    "Terms": "policy, or options",
    "Place": "location, or storage",
    "Party": "client, or subject",
    "Deed": "action",
    "Judge": "validator",
    "Mint": "issuer",
    "hear": "on_event",
    "recall": "records",
    "survey": "check_routes",
    "lend": "make_host",
    "amend_rows": "replace_rows",
    "settle_peer": "set_peer",
    "also_known_as": "aliases",
    "proves_edge": "verifies_proxy",
}
# Idioms that a reader has to translate; each with the plain way to say it.
IDIOMS = {
    r"\b(?:whoever|whom)\b": "a caller who, every user who, an attacker who",
    r"\b(?:nobody|no one)\b": "no caller, no user",
    r"\b(?:is|are|was|be|been) told\b": "is informed, is shown, is reported",
    r"\bstrangers?\b(?!\.conf)": "unknown caller",
    r"(?<![`_])\bbelie(?:f|ves?|ved)\b(?!_)": "trust, accept, use",
    r"\b(?:stands|forbids|dressed|worded|honest)\b": "is, denies, has headers, has a format",
    r"\b(?:serves|goes|go|went) on\b": "continues",
    r"\bwithout a word\b": "without a message",
    r"\btak(?:e|es|en) (?:back|away)\b": "revoke, remove",
    r"\b(?:lies in|lies outside)\b": "is in, is outside",
    r"\b(?:cut off|set aside|held to)\b": "removed, kept, compared with",
    r"\bcannot be (?:asked|looked at|had)\b": "cannot be read",
    r"\bone's own\b": "a separate",
}
# Messages that are plain today: what is printed, logged, or documented as a setting.
PLAIN = (
    "deploy/", "secureml/cli/", "secureml/kit/", "secureml/state/", "secureml/workers/",
    *(f"plugins/{name}/" for name in (
        "anomaly", "anonymous", "api_docs", "audit_log", "errors", "metrics", "model_integrity",
        "output_rules", "rate_limit", "scopes", "security_headers", "traces", "transport",
    )),
)  # fmt: skip
GENERATED = {"docs/changelog.md", "docs/settings.md"}  # the second is made of the schemas
TEXT = {".py", ".md", ".toml", ".conf", ".yml", ".json", ".html", ".service", ".timer", ".socket"}


def tracked() -> list[Path]:
    """Return every text file of the project, but this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    files = [CHECKOUT / name for name in listed.split("\0") if name]
    return [
        file
        for file in files
        if file.is_file() and file.name != Path(__file__).name
        and (file.suffix in TEXT or file.parent.name in ("script", ".ci"))
    ]  # fmt: skip


def pages() -> list[Path]:
    """Return README, the pages of docs and the README of each plugin."""
    return [
        file
        for file in tracked()
        if file.suffix == ".md"
        and file.relative_to(CHECKOUT).parts[0] in ("README.md", "docs", "plugins", "instance")
        and str(file.relative_to(CHECKOUT)) not in GENERATED
    ]


@cache
def messages_of(file: Path) -> tuple[str, ...]:
    """Return the texts of a Python file but docstrings; an f-string in its parts."""
    tree = ast.parse(file.read_text("utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and isinstance(node.body[0], ast.Expr)
    }
    return tuple(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    )


@cache
def words_of(file: Path) -> frozenset[str]:
    """Return the words of a file in small letters; parts of snake_case and CamelCase are words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", file.read_text("utf-8"))
    return frozenset(re.findall(r"[a-z]+", text.lower().replace("_", " ")))


@cache
def names_of(file: Path) -> frozenset[str]:
    """Return the names of a Python file."""
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text("utf-8")).readline)
    return frozenset(token.string for token in tokens if token.type == tokenize.NAME)


def test_the_project_is_a_checkout_with_its_files_listed():
    """A search over nothing would find nothing."""
    assert len(tracked()) > 500


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_our_own_stands_nowhere(word):
    found = [str(file.relative_to(CHECKOUT)) for file in tracked() if word in words_of(file)]
    assert found == [], f"say {WORDS[word]} instead of {word!r}"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_says_nothing_is_not_given(name):
    sources = [file for file in tracked() if file.suffix == ".py"]
    found = [str(file.relative_to(CHECKOUT)) for file in sources if name in names_of(file)]
    assert found == [], f"name it after {NAMES[name]}"


@pytest.mark.parametrize("idiom", IDIOMS)
def test_pages_are_in_plain_words(idiom):
    """For readers whose first language is another."""
    found = [
        f"{file.relative_to(CHECKOUT)}:{number}"
        for file in pages()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if re.search(idiom, line, re.IGNORECASE)
    ]
    assert found == [], f"say it plainly, for instance: {IDIOMS[idiom]}"


@pytest.mark.parametrize("idiom", IDIOMS)
def test_messages_are_in_plain_words(idiom):
    """What is wrong, where, and the fix, for somebody who is in a hurry."""
    sources = [
        file
        for file in tracked()
        if file.suffix == ".py" and str(file.relative_to(CHECKOUT)).startswith(PLAIN)
    ]
    assert len(sources) > 100
    found = [
        f"{file.relative_to(CHECKOUT)}: {text[:60]}"
        for file in sources
        for text in messages_of(file)
        if re.search(idiom, text, re.IGNORECASE)
    ]
    assert found == [], f"say it plainly, for instance: {IDIOMS[idiom]}"
