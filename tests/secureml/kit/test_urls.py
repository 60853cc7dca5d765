"""Where documents may come from: one reading of an address, and no surprises behind it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from secureml.kit.urls import UrlRefused, check_address, parse_url, pin


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://id.example.org", ("https", "id.example.org", 443, "/")),
        ("https://ID.example.org./a/b?c=d", ("https", "id.example.org", 443, "/a/b?c=d")),
        ("http://127.0.0.1:8080/x", ("http", "127.0.0.1", 8080, "/x")),
        ("https://[::1]:8443/", ("https", "::1", 8443, "/")),
    ],
)
def test_an_address_is_taken_apart(url, found):
    assert tuple(parse_url(url)) == found


@pytest.mark.parametrize(
    "url",
    [
        None,
        1,
        "",
        "ftp://id.example.org/",
        "file:///etc/passwd",
        "//id.example.org/",
        "https://",
        "https:///path",
        "https://id.example.org:99999/",
        "https://id.example.org:0/",
        "https://id.example.org:x/",
        "https://user@id.example.org/",
        "https://id.example.org@evil.example/",
        "https://id.example.org/#fragment",
        "https://id.example.org/a b",
        "https://id.example.org/\r\nX: y",
        "https://id.example.org\\@evil.example/",
        "https://id_example.org/",
        "https://%69d.example.org/",
        "https://[::1/",
        "https://é.example/",
        "https://" + "a" * 3000,
    ],
)
def test_odd_addresses_are_refused(url):
    with pytest.raises(UrlRefused):
        parse_url(url)


def test_a_pin_is_a_host_with_or_without_port():
    assert pin("id.example.org") == ("id.example.org", 443)
    assert pin("id.example.org:8443") == ("id.example.org", 8443)
    for word in ("", "https://id.example.org", "id.example.org/", "id.example.org/a", "a b"):
        with pytest.raises(UrlRefused):
            pin(word)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "::ffff:169.254.169.254"],
)
def test_nobodys_provider_stands_at_a_metadata_address(address):
    with pytest.raises(UrlRefused):
        check_address(ip_address(address), plain=False)


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.1", "8.8.8.8", "fd00::1", "127.0.0.1"])
def test_over_tls_a_private_address_is_no_surprise(address):
    check_address(ip_address(address), plain=False)


def test_without_tls_there_is_only_loopback():
    check_address(ip_address("127.0.0.1"), plain=True)
    check_address(ip_address("::ffff:127.0.0.1"), plain=True)
    for address in ("10.0.0.7", "8.8.8.8"):
        with pytest.raises(UrlRefused):
            check_address(ip_address(address), plain=True)
