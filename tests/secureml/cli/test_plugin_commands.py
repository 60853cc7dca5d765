"""The commands of plugins: by name, by another word, to read about, and never the wrong ones."""

from __future__ import annotations

from types import SimpleNamespace

import click
import pytest
import settings_reference

from secureml.cli import plugin_commands
from secureml.config_error import ConfigError
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.plugin import Plugin

OFFERING = [cls for cls in settings_reference.plugins() if hasattr(cls, "commands")]
WHY = ConfigError("there is no such file")


def plugin(name, *words, commands=None):
    """Return a plugin with a group of its own, or with what it has instead."""
    made = commands or (lambda self: click.Group(name))
    cls = type(name, (Plugin,), {"name": name, "aliases": words, "commands": made})
    return LoadedPlugin(cls({}, None), observe=False)


def core(*plugins):
    return SimpleNamespace(plugins=plugins)


def test_a_second_word_leads_to_the_commands_and_takes_nobodys_name():
    found = core(plugin("rate_limit", "limits", "other"), plugin("other"))
    assert plugin_commands.names(found) == ["other", "rate-limit"]
    named = {word: plugin_commands.enabled(found, word) for word in ("rate-limit", "limits")}
    assert {word: command.name for word, command in named.items()} == {
        "rate-limit": "rate_limit",
        "limits": "rate_limit",
    }
    assert plugin_commands.enabled(found, "other").name == "other"
    assert plugin_commands.enabled(found, "nothing") is None


def fails(self):
    raise SystemExit(3)


@pytest.mark.parametrize("commands", [fails, lambda self: None, lambda self: {"list": print}])
def test_one_that_cannot_give_its_commands_hides_no_other(commands):
    """Asked for by its name, it says why."""
    found = core(plugin("broken", commands=commands), plugin("whole"))
    assert plugin_commands.names(found) == ["whole"]
    assert plugin_commands.enabled(found, "whole").name == "whole"
    with pytest.raises(ConfigError, match=r"\[plugins\.broken\]"):
        plugin_commands.enabled(found, "broken")


def leaves(command, words=()):
    """Yield each command that does something, with the words that lead there."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    for word, inner in command.commands.items():
        yield from leaves(inner, (*words, word))


@pytest.mark.parametrize("cls", OFFERING, ids=lambda cls: cls.name)
def test_all_of_ours_can_be_read_about_and_not_run(cls):
    """With any words behind them: nothing is asked of an instance that is not there."""
    word = cls.name.replace("_", "-")
    command = plugin_commands.to_read_about(word, WHY)
    found = list(leaves(command))
    assert found
    for words, leaf in found:
        helped = _invoke(command, [*words, "--help"])
        assert "Usage: " in helped
        for given in ([], ["x"], ["--json"], *([f"{option}", "1"] for option in _options(leaf))):
            with pytest.raises(ConfigError, match="there is no such file"):
                command.main([*words, *given], standalone_mode=False)


def _options(command):
    return [param.opts[0] for param in command.params if isinstance(param, click.Option)][:-1]


def _invoke(command, words):
    from click.testing import CliRunner

    done = CliRunner().invoke(command, words, obj=None)
    assert done.exit_code == 0, done.output
    return done.output


def test_reading_about_a_command_leaves_the_command_as_it_is():
    """It belongs to its module, where the next one runs it."""
    from plugins.rate_limit.cli import explain

    before = explain.parse_args
    plugin_commands.to_read_about("rate-limit", WHY)
    assert explain.parse_args == before


def test_one_of_ours_that_is_not_enabled_says_so(type_command, demo_instance):
    said = type_command("jwt", "list", "--instance", demo_instance)
    assert said.code == 2
    assert "[secureml] plugins: the plugin 'jwt' is not enabled here; fix: add 'jwt'" in said.err
    assert type_command("jwt", "list", "--help", "--instance", demo_instance).code == 0


def test_second_words_of_ours_are_known_without_an_instance_and_no_others():
    assert plugin_commands.to_read_about("certificates", WHY) is not None
    assert plugin_commands.to_read_about("limits", WHY) is not None
    assert plugin_commands.to_read_about("scopes", WHY) is None
    assert plugin_commands.to_read_about("nothing", WHY) is None
    assert "api-keys" in plugin_commands.words_of_ours()
