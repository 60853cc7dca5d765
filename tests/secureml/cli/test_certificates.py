"""The development authority: what it signs is what OpenSSL believes, and nothing more."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from secureml.cli import certificates
from secureml.cli.certificates import check, make
from secureml.config_error import ConfigError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = ["ml.example.org", "localhost", "127.0.0.1", "::1"]
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    assert make(folder, HOSTS, NOW)
    return folder


@pytest.fixture
def own(tmp_path):
    make(tmp_path, HOSTS, NOW)
    return tmp_path


def load(folder, stem):
    return x509.load_pem_x509_certificate((folder / f"{stem}.crt").read_bytes())


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


# -- what they say --------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["ca", "server"])
def test_keys_are_p_256_and_belong_to_their_certificates(made, stem):
    certificate = load(made, stem)
    key = load_pem_private_key((made / f"{stem}.key").read_bytes(), None)
    assert isinstance(certificate.public_key().curve, ec.SECP256R1)
    assert key.public_key() == certificate.public_key()
    assert certificate.version is x509.Version.v3
    assert certificate.signature_hash_algorithm.name == "sha256"


def test_the_server_certificate_lives_no_longer_than_366_days(made):
    found = load(made, "server")
    assert found.not_valid_after_utc - found.not_valid_before_utc <= 366 * DAY
    assert found.not_valid_before_utc < NOW < found.not_valid_after_utc


def test_the_authority_signs_certificates_and_can_make_no_other_authority(made):
    found = load(made, "ca")
    assert extension(found, x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert extension(found, x509.BasicConstraints).critical
    usage = extension(found, x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.digital_signature) == (True, False)
    found.verify_directly_issued_by(found)


def test_the_server_certificate_serves_and_signs_nothing(made):
    found = load(made, "server")
    assert extension(found, x509.BasicConstraints).value == x509.BasicConstraints(False, None)
    usage = extension(found, x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    purposes = list(extension(found, x509.ExtendedKeyUsage).value)
    assert purposes == [ExtendedKeyUsageOID.SERVER_AUTH]
    found.verify_directly_issued_by(load(made, "ca"))


def test_every_host_is_named_as_what_it_is(made):
    names = extension(load(made, "server"), x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ml.example.org", "localhost"]
    addresses = [ip_address("127.0.0.1"), ip_address("::1")]
    assert names.get_values_for_type(x509.IPAddress) == addresses


def test_a_name_of_more_than_64_characters_is_told_whole_where_clients_look(tmp_path):
    name = f"{'a' * 63}.example.org"
    make(tmp_path, [name], NOW)
    names = extension(load(tmp_path, "server"), x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [name]


def test_private_halves_are_for_us_alone(made):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()}
    assert modes == {
        "ca.crt": 0o644,
        "ca.key": 0o600,
        "server.crt": 0o644,
        "server.key": 0o600,
    }


def test_two_authorities_are_not_one(made, own):
    assert load(made, "ca").public_key() != load(own, "ca").public_key()
    assert load(made, "server").serial_number != load(own, "server").serial_number


# -- what OpenSSL says ----------------------------------------------------------------------------


def handshake(folder, name, authority=None):
    """Meet over loopback; return the version agreed on. Raises ssl.SSLError."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    client = ssl.create_default_context(cafile=(authority or folder) / "ca.crt")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(10)

        def answer():
            try:
                with listener.accept()[0] as raw, server.wrap_socket(raw, server_side=True) as tls:
                    tls.recv(1)
            except OSError:
                return  # the client turned away, which is for it to tell

        serving = threading.Thread(target=answer)
        serving.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=10) as raw,
                client.wrap_socket(raw, server_hostname=name) as tls,
            ):
                return tls.version()
        finally:
            serving.join(10)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A pair that is valid now: OpenSSL asks the machine's own clock."""
    folder = tmp_path_factory.mktemp("fresh")
    make(folder, HOSTS, certificates.utc_now())
    return folder


@pytest.mark.parametrize("name", HOSTS)
def test_openssl_believes_it_for_every_host(fresh, name):
    assert handshake(fresh, name) == "TLSv1.3"


@pytest.mark.parametrize("name", ["other.example.org", "127.0.0.2", "a.localhost"])
def test_openssl_does_not_believe_it_for_another(fresh, name):
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(fresh, name)


def test_openssl_does_not_believe_it_by_another_authority(fresh, made):
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(fresh, "localhost", authority=made)


def test_openssl_does_not_believe_it_past_its_time(tmp_path):
    make(tmp_path, HOSTS, certificates.utc_now() - 400 * DAY)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(tmp_path, "localhost")


# -- made once, and never half --------------------------------------------------------------------


def test_twice_nothing_is_made(own):
    before = {path: path.read_bytes() for path in own.iterdir()}
    assert not make(own, ["other"], NOW)
    assert {path: path.read_bytes() for path in own.iterdir()} == before


def test_a_new_server_pair_is_signed_by_the_authority_that_is_there(own):
    authority = (own / "ca.crt").read_bytes()
    for end in ("crt", "key"):
        (own / f"server.{end}").unlink()
    assert make(own, HOSTS, NOW)
    assert (own / "ca.crt").read_bytes() == authority
    load(own, "server").verify_directly_issued_by(load(own, "ca"))


@pytest.mark.parametrize("name", ["server.crt", "server.key", "ca.crt", "ca.key"])
def test_half_a_pair_is_refused_and_not_completed(own, name):
    (own / name).unlink()
    stem = name.partition(".")[0]
    if stem == "ca":
        for end in ("crt", "key"):
            (own / f"server.{end}").unlink()
    with pytest.raises(ConfigError, match=f"{stem}.crt and {stem}.key, which belong together"):
        make(own, HOSTS, NOW)
    assert not (own / name).exists()


def spoil_text(folder):
    (folder / "ca.key").write_text("x")


def spoil_certificate(folder):
    (folder / "ca.crt").write_text("x")


def another_key(folder):
    (folder / "ca.key").write_bytes(certificates._pem(ec.generate_private_key(ec.SECP256R1())))


def rsa_key(folder):
    (folder / "ca.key").write_bytes(certificates._pem(rsa.generate_private_key(65537, 2048)))


@pytest.mark.parametrize("spoil", [spoil_text, spoil_certificate, another_key, rsa_key])
def test_an_authority_that_is_none_signs_nothing(own, spoil):
    for end in ("crt", "key"):
        (own / f"server.{end}").unlink()
    spoil(own)
    with pytest.raises(ConfigError, match=f"fix: delete {own} and run `secureml init`"):
        make(own, HOSTS, NOW)
    assert not (own / "server.key").exists()


# -- checked before serving -----------------------------------------------------------------------


def test_a_good_pair_says_when_it_expires(made):
    ends = check(made / "server.crt", made / "server.key", NOW)
    assert NOW + 360 * DAY < ends <= NOW + 366 * DAY
    assert check(made / "server.crt", made / "server.key", ends - timedelta(seconds=1)) == ends


@pytest.mark.parametrize("late", [timedelta(), DAY])
def test_a_pair_past_its_time_is_refused_from_its_last_second_on(made, late):
    ends = load(made, "server").not_valid_after_utc
    with pytest.raises(ConfigError, match="valid only until 2026-12-31"):
        check(made / "server.crt", made / "server.key", ends + late)


def test_a_pair_before_its_time_is_refused(made):
    with pytest.raises(ConfigError, match="from 2025-12-31 on"):
        check(made / "server.crt", made / "server.key", NOW - DAY)


def test_a_key_of_another_certificate_is_refused(made, own):
    with pytest.raises(ConfigError, match="does not belong"):
        check(made / "server.crt", own / "server.key", NOW)


@pytest.mark.parametrize("name", ["server.crt", "server.key"])
@pytest.mark.parametrize("content", [None, b"", b"x", b"\xff\xfe"])
def test_a_pair_that_cannot_be_read_is_refused_in_one_line(own, name, content):
    (own / name).unlink()
    if content is not None:
        (own / name).write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        check(own / "server.crt", own / "server.key", NOW)
    assert "cannot be read" in str(refused.value)
    assert "fix: " in str(refused.value)
