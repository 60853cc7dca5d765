"""What plugins need of the proxy is put together; where they exclude each other, none is served."""

from __future__ import annotations

import pytest

from secureml import ConfigError, Plugin
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.pipeline import proxy
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.proxy import Proxy


def loaded(name, **words):
    needs = ProxyRequirements(**words) if words else None
    cls = type(name.title(), (Plugin,), {"name": name, "proxy_requirements": needs})
    return LoadedPlugin(cls({}, None), observe=False)


def test_without_needs_nothing_is_required():
    assert proxy.required([loaded("gate")]) == Proxy()


def test_names_and_origins_of_all_plugins_are_required_each_once_with_the_plugin_that_names_it():
    found = proxy.required(
        [
            loaded(
                "gate", hosts=("a.example", "b.example"), allowed_origins=("https://o.example",)
            ),
            loaded("porter", hosts=("b.example", "c.example")),
        ]
    )
    assert list(found.hosts.items()) == [
        ("a.example", "gate"),
        ("b.example", "gate"),
        ("c.example", "porter"),
    ]
    assert found.allowed_origins == {"https://o.example": "gate"}


def test_one_token_may_be_required_twice():
    found = proxy.required([loaded("gate", token="env:T"), loaded("porter", token="env:T")])
    assert (found.token, found.token_plugin) == ("env:T", "gate")


@pytest.mark.parametrize("word", ["token", "client_authorities"])
def test_what_the_proxy_can_do_in_one_way_only_is_refused_in_two_with_both_names(word):
    with pytest.raises(ConfigError, match=r"gate and porter .*the proxy takes one") as refused:
        proxy.required([loaded("gate", **{word: "env:A"}), loaded("porter", **{word: "env:B"})])
    assert (refused.value.table, refused.value.key) == ("secureml", "plugins")


def test_the_revocations_are_those_of_the_plugin_that_names_the_authorities():
    found = proxy.required(
        [
            loaded("gate", client_revocations="tls/other.crl"),
            loaded("porter", client_authorities="tls/a.crt", client_revocations="tls/a.crl"),
        ]
    )
    assert (found.client_authorities, found.client_revocations) == ("tls/a.crt", "tls/a.crl")
