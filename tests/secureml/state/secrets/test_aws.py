"""AWS Secrets Manager: one secret or one key of it, within bounds, and nothing in the log."""

from __future__ import annotations

import base64
import json
import logging
import sys

import pytest

from secureml import ConfigError
from secureml.state.secrets.aws import Aws, AwsOptions

CANARY = "correct-horse-battery"
IDENTITY = "canary-of-the-identity"
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:edge-AbCdEf"


@pytest.fixture
def aws(stub, monkeypatch, tmp_path):
    """A region played by the stub; proxies and endpoints of the environment lead nowhere."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": IDENTITY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    return Aws(AwsOptions("eu-central-1", stub.url))


def says(stub, **words):
    found = {"ARN": ARN, "Name": "edge", "CreatedDate": 1767225600.5} | words
    stub.says(found, Content_Type="application/x-amz-json-1.1")


def refusal(aws, place="edge"):
    with pytest.raises(ConfigError) as refused:
        aws.read(place)
    line = str(refused.value)
    assert CANARY not in line
    assert IDENTITY not in line
    assert refused.value.fix
    return line


@pytest.mark.parametrize("place", ["edge", "team/edge+1", ARN])
def test_a_secret_is_read_by_name_or_arn_with_its_age(stub, aws, place):
    """The age of the version that is current."""
    says(stub, SecretString=CANARY)
    found = aws.read(place)

    assert found.secret.reveal() == CANARY.encode()
    assert found.changed == 1767225600.5
    assert json.loads(stub.requests[0][3]) == {"SecretId": place}


def test_one_key_of_a_json_secret_is_read(stub, aws):
    """As the console writes them."""
    says(stub, SecretString=json.dumps({"user": "x", "token": CANARY}))

    assert aws.read("edge#token").secret.reveal() == CANARY.encode()


def test_a_binary_secret_is_its_bytes(stub, aws):
    """Whole only; a key is of JSON."""
    says(stub, SecretBinary=base64.b64encode(b"\x00\xff").decode())

    assert aws.read("edge").secret.reveal() == b"\x00\xff"
    assert "not a JSON object" in refusal(aws, "edge#token")


@pytest.mark.parametrize("text", ["not json", "[]", "7", '{"token": 7}', '{"token": null}', "{}"])
def test_a_key_that_holds_no_text_is_refused(stub, aws, text):
    """The message names the key, never the value."""
    says(stub, SecretString=text)

    assert "'token'" in refusal(aws, "edge#token")


def test_an_empty_secret_is_none(stub, aws):
    """One that everybody knows."""
    says(stub, SecretString="")

    assert "empty" in refusal(aws)


@pytest.mark.parametrize("place", ["#x", "a b", "edge#", "edge#a#b", "e\n", "ä", "x" * 2049])
def test_a_place_that_is_none_is_never_asked_for(stub, aws, place):
    """Names as AWS allows them."""
    assert "not a secret id" in refusal(aws, place)
    assert stub.requests == []


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure"]
)
def test_a_refusal_is_told_by_its_code(stub, aws, code):
    """AWS's own text may hold account numbers and policies."""
    stub.says({"__type": code, "message": f"you are {CANARY}"}, 400)

    assert f"({code})" in refusal(aws)


def test_attack_a_redirect_is_not_followed(stub, aws):
    """It would carry a signed request elsewhere."""
    stub.says(b"{}", 307, Location=f"{stub.url}/elsewhere")
    refusal(aws)

    assert len(stub.requests) == 1


def test_attack_an_answer_without_end_is_left_unread(stub, aws):
    """Chunk after chunk."""
    piece = b" " * 65536
    stub.answer = lambda *_: (200, {}, (piece for _ in range(100_000)))

    assert "BodyRefused" in refusal(aws)
    assert stub.hung_up.wait(5)


@pytest.mark.parametrize("body", [b"<html>", b"null", b"[]", b""])
def test_what_is_no_answer_is_refused(stub, aws, body):
    """A login page, a proxy."""
    stub.says(body)
    refusal(aws)


def test_a_server_that_fails_is_asked_once(stub, aws):
    """Who follows the secret comes again by itself; the start says so at once."""
    stub.says(b"{}", 500)
    refusal(aws)

    assert len(stub.requests) == 1


def test_a_region_that_is_not_there_is_told_by_kind(aws):
    """Connection refused."""
    assert "EndpointConnectionError" in refusal(
        Aws(AwsOptions("eu-central-1", "http://127.0.0.1:1"))
    )


def test_without_an_identity_the_line_says_so(stub, aws, monkeypatch):
    """No role, no variables."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert "NoCredentialsError" in refusal(aws)


def test_attack_a_debug_log_of_everything_holds_no_secret(stub, aws, caplog):
    """botocore writes whole answers at that level."""
    caplog.set_level(logging.DEBUG)
    says(stub, SecretString=CANARY)
    aws.read("edge")

    assert CANARY not in caplog.text
    assert IDENTITY not in caplog.text


def test_an_endpoint_without_encryption_stops_the_start():
    """Except on loopback."""
    with pytest.raises(ConfigError, match="endpoint_url"):
        Aws(AwsOptions("eu-central-1", "http://secrets.example.org"))


def test_without_the_library_the_line_names_the_extra(aws, monkeypatch):
    """Only when a reference asks for it."""
    monkeypatch.setitem(sys.modules, "boto3", None)

    line = refusal(aws)
    assert "the library boto3" in line
    assert "script/extras aws" in line
