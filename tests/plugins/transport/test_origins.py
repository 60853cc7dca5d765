"""Origins whose pages may read answers: exactly as browsers write them, or the start stops."""

from __future__ import annotations

import pytest

from plugins.transport.origins import fault_of


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.org",
        "https://app.example.org:8443",
        "https://ml_app.example.org",
        "https://xn--bcher-kva.example",
        "https://192.0.2.7",
        "https://7.example.org",
        "https://[::ffff:c000:207]",
        "https://[2001:db8::1]:9000",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:5173",
        "http://[::1]:5173",
    ],
)
def test_an_origin_as_a_browser_writes_it_is_one(origin):
    assert fault_of(origin) == ""


@pytest.mark.parametrize(
    "word",
    [
        "*",
        "null",
        "",
        "https://*",
        "https://*.example.org",
        "app.example.org",
        "https://",
        "https://app.example.org/",
        "https://app.example.org/page",
        "https://app.example.org?x",
        "https://user@app.example.org",
        "https://APP.example.org",
        "HTTPS://app.example.org",
        "https://bücher.example",
        "https://app.example.org:443",
        "https://app.example.org.",
        "https://app..example.org",
        "https://[2001:db8:0:0:0:0:0:1]",
        "https://[2001:db8::0001]:9000",
        "https://[1.2.3]",
        "https://[:]",
        "https://192.0.2.007",
        "https://192.0.2.256",
        "https://192.0.2",
        "https://0x7f.1",
        "https://app.example.org:0",
        "https://app.example.org:65536",
        "https://app.example.org:",
        "http://localhost:80",
        "http://app.example.org",
        "http://localhost.example.org",
        "http://10.0.0.7:3000",
        "file://",
        "chrome-extension://abc",
        "https://a.example https://b.example",
        "https://a.example,https://b.example",
        'https://a.example"; evil',
        "https://a.example\n",
    ],
)
def test_what_no_browser_would_send_or_nobody_can_mean_is_refused(word):
    assert fault_of(word)
