"""A body that is read before its time is there again, whole, for whoever reads it next."""

from __future__ import annotations

import contextlib
import io

import pytest
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request

from secureml.pipeline.early_body import EarlyBody


class Drops(io.BytesIO):
    """Gives a few bytes at a time, as a network does, and counts them."""

    taken = 0

    def read(self, size=-1):
        found = super().read(min(size, 3) if size > 0 else 3)
        self.taken += len(found)
        return found


def chunked(stream):
    """Return the environment of a request whose server ends its body."""
    return {"REQUEST_METHOD": "POST", "wsgi.input": stream, "wsgi.input_terminated": True}


def test_no_more_is_taken_than_was_asked_for():
    stream = Drops(b"x" * 1000)
    early = EarlyBody(chunked(stream))
    assert early.beginning(10) == b"x" * 10
    assert stream.taken == 10
    assert early.beginning(4) == b"xxxx"
    assert stream.taken == 10


@pytest.mark.parametrize("first", [0, 1, 5, 10, 11, 5000])
def test_the_next_reader_gets_the_whole(first):
    environ = chunked(Drops(b"0123456789"))
    EarlyBody(environ).beginning(first)
    assert Request(environ).get_data() == b"0123456789"


def test_what_the_next_reader_took_is_still_known():
    """A beginning must not pass for the whole, whoever read the rest."""
    environ = chunked(Drops(b"0123456789"))
    early = EarlyBody(environ)
    early.beginning(3)
    Request(environ).get_data()
    assert early.beginning(100) == b"0123456789"


def test_no_more_is_read_than_was_announced():
    """What follows on the connection is another request."""
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(b"0123456789GET /"),
        "CONTENT_LENGTH": "10",
    }
    assert EarlyBody(environ).beginning(100) == b"0123456789"
    assert Request(environ).get_data() == b"0123456789"


def test_the_limit_of_the_next_reader_still_counts():
    stream = Drops(b"x" * 1000)
    environ = chunked(stream)
    EarlyBody(environ).beginning(3)
    request = Request(environ)
    request.max_content_length = 11
    with contextlib.suppress(RequestEntityTooLarge):
        request.get_data()
    assert stream.taken <= 12
