"""How much memory a model in ONNX takes is never chosen by a number of a row."""

from __future__ import annotations

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters.onnx_content import check
from secureml.models.boosters.onnx_sizes import sized_by_rows
from tests import onnx_models
from tests.optional_packages import need


@pytest.fixture
def helper():
    return need("onnx").helper


def model(helper, *nodes, constants=()):
    """Return a model of one input X and one output y."""
    tensor = need("onnx").TensorProto
    given = [helper.make_tensor(name, tensor.INT64, [1], [value]) for name, value in constants]
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("X", tensor.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", tensor.FLOAT, [None, 1])],
        given,
    )
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        ("ConstantOfShape", ["n"]),
        ("Expand", ["X", "n"]),
        ("Tile", ["X", "n"]),
        ("Range", ["zero", "n", "zero"]),
        ("OneHot", ["X", "n", "zero"]),
        ("Pad", ["X", "n"]),
        ("Resize", ["X", "", "", "n"]),
    ],
)
def test_attack_a_size_that_is_computed_from_a_row_is_refused(helper, operator, inputs):
    found = model(
        helper,
        helper.make_node("Cast", ["X"], ["n"], to=7),
        helper.make_node(operator, inputs, ["y"]),
        constants=[("zero", 0)],
    )
    assert sized_by_rows(memoryview(found)) == operator
    with pytest.raises(ModelRefused, match=f"the operator {operator}, whose output is as large"):
        check(found)


def test_attack_it_is_found_in_a_graph_below_another(helper):
    below = helper.make_graph([helper.make_node("ConstantOfShape", ["n"], ["b"])], "b", [], [])
    found = model(
        helper,
        helper.make_node("Cast", ["X"], ["n"], to=7),
        helper.make_node("If", ["n"], ["y"], then_branch=below, else_branch=below),
    )
    assert sized_by_rows(memoryview(found)) == "ConstantOfShape"


def test_sizes_of_the_file_and_of_shapes_are_served(helper):
    found = model(
        helper,
        helper.make_node("Shape", ["X"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["rows"]),
        helper.make_node("ConstantOfShape", ["rows"], ["a"]),
        helper.make_node("Tile", ["a", "four"], ["b"]),
        helper.make_node("Add", ["b", "X"], ["y"]),
        constants=[("zero", 0), ("four", 4)],
    )
    assert sized_by_rows(memoryview(found)) == ""
    assert check(found).nodes == 5


def test_the_models_of_other_tests_have_no_such_operator():
    for made in (onnx_models.regressor(), onnx_models.classifier()):
        assert sized_by_rows(memoryview(made.SerializeToString())) == ""
