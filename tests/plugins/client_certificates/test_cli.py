"""``secureml certificates``: binds one certificate or one name, and a fault is one line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from made_certificates import DAY, SERVER_AUTH

from plugins.client_certificates.plugin import ClientCertificates
from secureml.kit.client_certificate import from_der, thumbprint


class CommandContext:
    """The plugin's own commands over one application, and files of certificates."""

    def __init__(self, harness, folder):
        self.harness, self.folder = harness, folder
        self.plugin = harness.build(ClientCertificates)

    def type(self, *words):
        return CliRunner().invoke(self.plugin.commands(), [str(word) for word in words])

    def run(self, *words):
        """Return what a command prints for scripts."""
        done = self.type(*words, "--json")
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr or done.exception
        return json.loads(done.stdout)

    def file(self, minted, name="leaf"):
        return minted.write(self.folder, name)[0]

    def finds(self, minted):
        binding, word = self.plugin._bindings.find(from_der(minted.der), verified=True)
        return binding.client if binding else word


@pytest.fixture
def context(harness, tmp_path):
    return CommandContext(harness, tmp_path)


def test_a_certificate_is_bound_and_shown_by_its_thumbprint(context, leaf):
    made = context.run(
        "add",
        "acme",
        "--certificate",
        context.file(leaf),
        "--label",
        "nightly",
        "--scope",
        "predict",
    )
    assert made == {
        "id": made["id"],
        "client": "acme",
        "state": "active",
        "kind": "certificate",
        "subject": thumbprint(leaf.der),
        "authority": None,
        "label": "nightly",
        "scopes": ["predict"],
        "created": "2026-01-01T00:00:00Z",
        "expires": "2026-04-01T00:00:00Z",
        "ended": None,
    }
    assert context.finds(leaf) == "acme"
    assert context.run("list") == [made]


def test_a_name_is_bound_under_its_authority(context, authority, leaf):
    ca = context.file(authority.own, "ca")
    made = context.run("add", "acme", "--subject-dns", "Batch.example.org", "--authority", ca)
    assert (made["kind"], made["subject"]) == ("dns", "batch.example.org")
    assert made["authority"] == thumbprint(authority.own.der)
    assert context.finds(authority.sign()) == "acme"
    said = context.type("list").stdout
    assert f"batch.example.org signed by {thumbprint(authority.own.der)}" in said


def test_ending_is_at_once_and_is_told(context, leaf):
    made = context.run("add", "acme", "--certificate", context.file(leaf))
    assert context.run("end", made["id"]) == {"id": made["id"], "ended": "2026-01-01T00:00:00Z"}
    assert context.finds(leaf) == "ended"
    assert context.run("list", "--client", "acme")[0]["state"] == "revoked"
    assert context.run("list", "--client", "other") == []
    assert [(event.name, event.client, dict(event.facts)) for event in context.harness.emitted] == [
        (
            "authn_certificate_bound",
            "acme",
            {"credential": made["id"], "kind": "certificate", "subject": thumbprint(leaf.der)},
        ),
        ("authn_certificate_ended", "acme", {"credential": made["id"]}),
    ]


def test_for_people_it_is_one_line_each(context, leaf):
    assert context.type("list").stdout == "no certificates yet\n"
    context.type("add", "acme", "--certificate", context.file(leaf), "--label", "nightly")
    (line,) = context.type("list").stdout.splitlines()
    assert "acme" in line
    assert line.endswith(f"{thumbprint(leaf.der)} until 2026-04-01T00:00:00Z nightly")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--certificate", "CRT", "--subject-dns", "a.org"],
        ["--certificate", "CRT", "--authority", "CRT"],
        ["--subject-dns", "a.org"],
        ["--authority", "CRT"],
        ["--subject-dns", "*.example.org", "--authority", "CRT"],
        ["--certificate", "/nowhere.crt"],
        ["--certificate", "CRT", "--scope", "a b"],
        ["--certificate", "CRT", "--label", "a\nb"],
        ["--certificate", "CRT", "--label", "x" * 201],
    ],
)
def test_words_that_make_no_sense_are_exit_code_2_and_bind_nothing(context, leaf, words):
    file = context.file(leaf)
    done = context.type("add", "acme", *(file if word == "CRT" else word for word in words))
    assert done.exit_code == 2
    assert context.run("list") == []
    assert context.harness.emitted == []


def test_what_cannot_be_bound_is_exit_code_1_and_one_line(context, authority, leaf):
    key = leaf.write(context.folder, "leaf")[1]
    both = context.folder / "both.crt"
    both.write_bytes(leaf.pem + authority.own.pem)
    faults = {
        "there is no client 'nobody'": ["nobody", "--certificate", context.file(leaf)],
        "one certificate in PEM": ["acme", "--certificate", key],
        "has expired": [
            "acme", "--certificate", context.file(authority.sign(days=(-9, -1)), "old"),
        ],
        "not for clients": [
            "acme", "--certificate", context.file(authority.sign(usage=SERVER_AUTH), "server"),
        ],
        "not a certificate of an authority": [
            "acme", "--subject-dns", "a.org", "--authority", context.file(leaf, "again"),
        ],
    }  # fmt: skip
    faults |= {"does not hold one": ["acme", "--certificate", both]}
    for said, words in faults.items():
        done = context.type("add", *words)
        assert done.exit_code == 1, words
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    assert context.run("list") == []
    assert context.type("end", "x").exit_code == 1


def test_a_certificate_of_another_client_is_not_taken_over(context, leaf):
    context.harness.clients.add("other")
    context.run("add", "acme", "--certificate", context.file(leaf))
    done = context.type("add", "other", "--certificate", context.file(leaf))
    assert (done.exit_code, "bound to acme already" in done.stderr) == (1, True)
    assert context.finds(leaf) == "acme"


def test_an_expired_binding_is_listed_as_such(context, leaf):
    context.run("add", "acme", "--certificate", context.file(leaf))
    context.harness.clock.advance(91 * DAY)
    assert context.run("list")[0]["state"] == "expired"
