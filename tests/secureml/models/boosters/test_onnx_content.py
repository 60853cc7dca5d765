"""A model in ONNX reaches nothing beyond itself."""

from __future__ import annotations

import pickle

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.boosters.onnx_content import check, is_onnx
from tests import onnx_models
from tests.optional_packages import need


@pytest.fixture
def helper():
    return need("onnx").helper


def refusal(model):
    with pytest.raises(ModelRefused) as refused:
        check(model.SerializeToString())
    assert refused.value.fix
    return refused.value.message


def test_a_model_of_the_standard_operators_is_read():
    assert check(onnx_models.regressor().SerializeToString()).nodes == 1
    assert check(onnx_models.classifier().SerializeToString()).labels == (3, 5, 9)
    words = check(onnx_models.classifier(("a", "b", "c"), zipped=True).SerializeToString())
    assert words.labels == ("a", "b", "c")
    assert check(onnx_models.classifier((-1, 0, 1)).SerializeToString()).labels == (-1, 0, 1)


def test_attack_numbers_in_another_file_are_refused():
    model = onnx_models.regressor()
    tensor = model.graph.initializer[0]
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    assert "numbers in another file" in refusal(model)
    tensor.data_location = 0
    assert "numbers in another file" in refusal(model)


def test_attack_numbers_in_another_file_are_found_wherever_a_tensor_may_stand(helper):
    outside = onnx_models.regressor().graph.initializer[0]
    outside.data_location = 1
    below = helper.make_graph([helper.make_node("Constant", [], ["c"], value=outside)], "b", [], [])
    for node in (
        helper.make_node("Constant", [], ["c"], value=outside),
        helper.make_node("If", ["X"], ["c"], then_branch=below, else_branch=below),
    ):
        model = onnx_models.regressor()
        model.graph.node.append(node)
        assert "numbers in another file" in refusal(model)


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.preview.training", "own", "ai.onnx "])
def test_attack_operators_of_others_are_refused(helper, domain):
    assert f"operators of {domain!r}" in refusal(onnx_models.regressor(domains={"": 17, domain: 1}))
    model = onnx_models.regressor()
    model.graph.node.append(helper.make_node("Own", ["X"], ["z"], domain=domain))
    assert f"operators of {domain!r}" in refusal(model)


@pytest.mark.parametrize("operator", ["Loop", "Scan"])
def test_attack_what_may_go_on_without_end_is_refused(helper, operator):
    body = helper.make_graph([], "body", [], [])
    model = onnx_models.regressor()
    model.graph.node.append(helper.make_node(operator, ["X"], ["z"], body=body))
    assert f"the operator {operator}" in refusal(model)


def test_attack_functions_of_its_own_and_training_are_refused(helper):
    model = onnx_models.regressor()
    model.functions.append(
        helper.make_function("own", "f", ["a"], ["b"], [], [helper.make_opsetid("", 17)])
    )
    assert "functions of its own" in refusal(model)
    model = onnx_models.regressor()
    model.training_info.add()
    assert "a graph for training" in refusal(model)


def test_attack_graphs_inside_graphs_without_end_are_refused(helper):
    graph = helper.make_graph([helper.make_node("Abs", ["X"], ["z"])], "g", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["X"], ["z"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
        if len(graph.SerializeToString()) > 2**18:
            break
    model = onnx_models.regressor()
    model.graph.node.extend(graph.node)
    assert "nested too deeply" in refusal(model)


def test_attack_no_cut_of_it_is_read():
    content = onnx_models.classifier().SerializeToString()
    for end in range(1, len(content) - 30, 7):
        with pytest.raises(ModelRefused):
            check(content[:end])


def test_a_model_is_told_by_its_beginning():
    assert is_onnx(onnx_models.regressor().SerializeToString())
    for other in (b"", b"\x80\x05.", b"\x08", b"\x78\x9c", b"PK\x03\x04", pickle.dumps([1])):
        assert not is_onnx(other)
