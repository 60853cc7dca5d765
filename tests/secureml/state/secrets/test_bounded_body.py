"""What a manager answers has an end, in bytes and in seconds."""

from __future__ import annotations

import io

import pytest

from secureml import ConfigError
from secureml.state.secrets.bounded_body import LARGEST, WHOLE, BodyRefused, BoundedBody, check_url
from secureml.testing import Clock


class Raw(io.BytesIO):
    """urllib3's response, as far as it is used."""

    released = False

    def read1(self, size=-1, *, decode_content):
        assert decode_content is False
        return super().read1(size)

    def release_conn(self):
        self.released = True


def test_a_body_comes_through_whole():
    """To the byte."""
    raw = Raw(b"x" * LARGEST)
    body = BoundedBody(raw)

    assert b"".join(body.stream()) == b"x" * LARGEST
    body.release_conn()
    assert raw.released


def test_attack_a_body_without_end_is_left_unread():
    """The connection is closed with it."""
    raw = Raw(b"x" * (LARGEST + 1))
    with pytest.raises(BodyRefused):
        list(BoundedBody(raw).stream())
    assert raw.closed


def test_attack_a_body_that_drips_is_left_unread():
    """Each piece comes in time, the whole does not."""
    clock = Clock(0.0)
    pieces = BoundedBody(Raw(b"x" * 100_000), clock).stream()
    next(pieces)
    clock.advance(WHOLE + 1)

    with pytest.raises(BodyRefused):
        next(pieces)


@pytest.mark.parametrize(
    "url",
    ["https://vault.example.org:8200", "http://127.0.0.1:8200", "http://localhost:1",
     "http://[::1]:8200", "https://vault.example.org/base"],
)  # fmt: skip
def test_secrets_travel_encrypted_or_stay_on_this_machine(url):
    """Loopback is what tests and sidecars use."""
    check_url(url, "secrets.vault", "url")


@pytest.mark.parametrize(
    "url",
    ["http://vault.example.org:8200", "http://10.0.0.1", "http://127.0.0.1.evil.example",
     "http://localhost.evil.example", "ftp://127.0.0.1", "vault.example.org", "", "https://",
     "https://user:pw@vault.example.org", "https://v.example.org?token=x", "https://v#f",
     "http://0.0.0.0:8200"],
)  # fmt: skip
def test_any_other_address_stops_the_start(url):
    """And the message does not repeat it: it may hold a password."""
    with pytest.raises(ConfigError) as refused:
        check_url(url, "secrets.vault", "url")
    assert "pw" not in str(refused.value)
    assert str(refused.value).startswith("[secrets.vault] url: ")
