"""Packages whose folder alone is readable are found by their whole name."""

from __future__ import annotations

from secureml.confinement.launcher import GivenPackages


def test_a_given_package_is_found_and_others_are_left_to_other_finders(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    finder = GivenPackages({"secureml": str(tmp_path)})

    found = finder.find_spec("secureml")
    assert found.origin == str(tmp_path / "__init__.py")
    assert found.submodule_search_locations == [str(tmp_path)]
    assert finder.find_spec("secureml.models", [str(tmp_path)]) is None
    assert finder.find_spec("numpy") is None
