"""What a class says beside its methods is read as it is meant, or stops the start."""

from __future__ import annotations

import pytest

from secureml import Plugin
from secureml.kit.instance_file import InstanceFile
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.pipeline.plugin_attributes import ATTRIBUTES


@pytest.mark.parametrize("word", ATTRIBUTES)
def test_the_line_to_write_is_a_line_of_that_attribute(word):
    """It was another's once: its author met the next refusal."""
    assert ATTRIBUTES[word][1].startswith(f"{word} = ")
    assert hasattr(Plugin, word) or word == "name"


@pytest.mark.parametrize("word", ATTRIBUTES)
def test_the_default_of_the_base_class_can_be_read(word):
    if word != "name":
        assert ATTRIBUTES[word][0](getattr(Plugin, word))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("instance_files", InstanceFile("keys/mine.key", "my key")),  # one alone, no tuple
        ("instance_files", ("keys/mine.key",)),
        ("proxy_requirements", {"hosts": ("ml.example.org",)}),
        ("proxy_verification_keys", "token"),
        ("issue_command", ("issue", "--expires", "30d")),  # for which client?
        ("issue_command", "issue CLIENT"),
        ("verify_command", "verify"),
    ],
)
def test_what_could_not_be_used_is_refused(word, value):
    assert not ATTRIBUTES[word][0](value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("instance_files", [InstanceFile("keys/mine.key", "my key")]),
        ("proxy_requirements", ProxyRequirements()),
        ("issue_command", ("issue", "CLIENT")),
    ],
)
def test_what_can_be_used_is_accepted(word, value):
    assert ATTRIBUTES[word][0](value)
