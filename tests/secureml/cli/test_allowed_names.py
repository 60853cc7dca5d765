"""Names are added to the one list of the settings, and nothing else of the file changes."""

from __future__ import annotations

import stat
import tomllib

import pytest

from secureml.cli.allowed_names import add, with_names
from secureml.config_error import ConfigError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '\n[models]\nallow = ["a.B"]\n'),
        ("x = 1", 'x = 1\n\n[models]\nallow = ["a.B"]\n'),
        ("[models]\n", '[models]\nallow = ["a.B"]\n'),
        (
            "# ours\n[models]\n# these\nfolder = 'm'  # here\n[store]\nurl = 's'\n",
            (
                "# ours\n[models]\nallow = [\"a.B\"]\n# these\nfolder = 'm'  # here\n[store]\n"
                "url = 's'\n"
            ),
        ),
        ('[models]\nallow = ["c.D"]\n[x]\n', '[models]\nallow = ["c.D", "a.B"]\n[x]\n'),
        (
            '[models]\nallow = [\n  "c.D",\n  "e.F",\n]\nz = 1\n',
            '[models]\nallow = ["c.D", "e.F", "a.B"]\nz = 1\n',
        ),
        ('[x]\nallow = ["q"]\n[models]\n', '[x]\nallow = ["q"]\n[models]\nallow = ["a.B"]\n'),
    ],
)
def test_the_list_is_changed_where_it_stands(before, after):
    assert with_names(before, ["a.B"]) == after
    assert "a.B" in tomllib.loads(after)["models"]["allow"]


@pytest.mark.parametrize(
    "before",
    [
        '[models]\nallow = ["c.D"]  # theirs\n',
        '[models]\nallow = [\n  "c.D",  # theirs\n]\n',
        'models = { allow = ["c.D"] }\n',
        'models.allow = ["c.D"]\n',
        '[ models ]\nallow = ["c.D"]\n',
        '[models]\n"allow" = ["c.D"]\n',
        'text = """\n[models]\n"""\n',
    ],
)
def test_what_cannot_be_changed_safely_is_left_with_the_line_to_write(before):
    with pytest.raises(ConfigError) as refused:
        with_names(before, ["a.B"], "/etc/s.toml")

    assert "/etc/s.toml: [models] allow" in str(refused.value)
    assert "fix: write it yourself: allow = [" in str(refused.value)
    assert '"a.B"]' in str(refused.value)


def test_a_file_keeps_its_mode_and_only_new_names_are_added(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text("[models]\n")
    file.chmod(0o640)

    assert add(file, ["a.B", "c.D", "a.B"]) == ["a.B", "c.D"]
    assert add(file, ["c.D"]) == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert tomllib.loads(file.read_text())["models"]["allow"] == ["a.B", "c.D"]
    assert list(tmp_path.iterdir()) == [file]
