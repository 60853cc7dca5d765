"""The largest bodies of all threads at once fit into this machine, or it does not start."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from secureml import ConfigError, body_memory, settings
from secureml.cli.nginx_files import application_conf
from secureml.models.card import Feature
from secureml.pipeline.proxy import Proxy
from tests import made_card

MIB = 1024**2


@pytest.fixture
def read(tmp_path):
    def read_it(text):
        (tmp_path / "secureml.toml").write_text(f'[secureml]\nplugins = ["scopes"]\n{text}')
        return settings.read(tmp_path)

    return read_it


@pytest.mark.parametrize("text", ["[]", "[0]", "{}", '"ab"', "1.5", "[[[]]]", '{"":{"":{}}}'])
def test_no_json_takes_more_memory_than_it_is_counted_for(text):
    body = ("[" + ",".join([text] * 20_000) + "]").encode()
    tracemalloc.start()
    try:
        kept = json.loads(body)
        taken = tracemalloc.get_traced_memory()[1] + len(body)
    finally:
        tracemalloc.stop()
    assert kept
    assert taken <= body_memory.PER_BYTE * len(body)


def test_attack_a_body_for_each_thread_does_not_fill_the_machine(read):
    found = read("[payload]\nbody = '64MiB'\n[server]\nworkers = 2\nthreads = 4\n")
    with pytest.raises(ConfigError) as refused:
        body_memory.check(found, lambda: 8192 * MIB)
    emitted = refused.value
    assert (emitted.table, emitted.key) == ("payload", "body")
    assert "8192 MiB" in emitted.message
    size = emitted.fix.split('"')[1]
    fits = read(f"[payload]\nbody = '{size}'\n[server]\nworkers = 2\nthreads = 4\n")
    body_memory.check(fits, lambda: 8192 * MIB)
    assert f"client_max_body_size {fits.body_limit};" in application_conf(fits, Proxy())


def test_the_defaults_fit_the_smallest_machine(read):
    body_memory.check(read(""), lambda: 512 * MIB)
    assert body_memory.machine() >= 256 * MIB


def many(count):
    return made_card.card(*(Feature(f"column{place}") for place in range(count)))


def test_a_model_of_many_columns_gets_room_for_fifty_of_its_rows(read):
    found = read("")

    assert body_memory.of_models(found, []) == found.body_limit
    assert body_memory.of_models(found, [many(30)]) == found.body_limit
    assert 50 * 5000 * 35 < body_memory.of_models(found, [many(30), many(5000)]) < 16 * MIB


def test_attack_a_model_cannot_raise_it_beyond_all_bounds(read):
    found = read("[payload]\nmodel_rows = 100000\n")

    assert body_memory.of_models(found, [many(10_000)]) <= 64 * MIB
    assert body_memory.largest(found, lambda: 512 * MIB) <= 512 * MIB
    assert body_memory.of_models(read("[payload]\nmodel_rows = 0\n"), [many(5000)]) == MIB
