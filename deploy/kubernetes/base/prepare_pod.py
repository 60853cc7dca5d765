"""Prepares what the containers of a pod share, before anything is served.

    prepare_pod.py folders    in a container that has whole volumes mounted below /volumes
    prepare_pod.py nginx      in one that has the instance folder as the application has it

Kubernetes makes the root of a volume writable for everybody, and the start refuses such an
instance folder. So the folders are made here, inside the volumes, with the modes that
``secureml init`` would give them, and the containers mount these folders (``subPath``).
Nginx's files are made of the settings, so that the two never differ. A ConfigMap brings this
program, so that it always fits the manifests.

    TRUSTED_PROXIES   networks of the proxies in front whose X-Forwarded-For counts, by blanks
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CHECKOUT = Path(sys.prefix).parent  # it runs with the Python of the checkout's environment
VOLUMES, MODELS = Path("/volumes"), Path("/models")
# Folder in a volume: mode. `records` is there where a pod keeps its disk.
FOLDERS = {
    "instance": {
        "instance": 0o750,
        "instance/keys": 0o700,
        "instance/logs": 0o750,
        "instance/model_integrity": 0o750,
        "instance/models": 0o750,
        "instance/nginx": 0o750,
        "instance/run": 0o750,
        "instance/run/metrics": 0o750,
        "instance/store": 0o700,
    },
    "records": {"logs": 0o750, "store": 0o700},
}
# libpq uses no password file that anybody else may read, and a mounted one its group reads.
PASSWORDS = Path("/run/secrets/pgpass")
STRANGERS = """\
# A kubelet asks by address and names no server. This certificate has no real name, and to a
# foreign name Nginx answers /healthz and /readyz alone.
ssl_certificate /etc/nginx/pod/health.crt;
ssl_certificate_key /etc/nginx/pod/health.key;
"""


class Refused(Exception):
    """One line for the operator: what is wrong, and the fix."""


def make_folders(volumes: Path, models: Path, passwords: Path) -> None:
    """Make the folders of each volume that is mounted, and copy the sealed models of the image.

    May run again over what it made: a node that restarts runs init containers once more.
    """
    for volume, folders in FOLDERS.items():
        if not (volumes / volume).is_dir():
            continue
        for name, mode in folders.items():
            folder = volumes / volume / name
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
    instance = volumes / "instance/instance"
    if models.is_dir():
        copy_models(models, instance / "models")
    if passwords.is_file():
        write(instance / "keys/pgpass", passwords.read_bytes(), 0o600)


def copy_models(source: Path, target: Path) -> None:
    """Copy sealed models; their signatures are checked when they are loaded, not here."""
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        folder.chmod(0o750)  # sealed folders are read-only, and nothing could be removed from them
    for path in target.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for folder_name, folders, files in os.walk(source, onerror=_raise):
        here = Path(folder_name)
        copy = target / here.relative_to(source)
        for name in folders:
            (copy / name).mkdir(mode=0o750)
        for name in files:
            shutil.copyfile(here / name, copy / name)
            (copy / name).chmod(0o440)


def _raise(error: OSError) -> None:
    """Let a folder that cannot be read end the pod: without it models would be missing."""
    raise error


def write_nginx_files(
    instance: Path, nginx: Path, proxies: str, application_conf: str, now: datetime
) -> None:
    """Write what the Nginx of this pod reads, for its group alone.

    ``nginx`` is the folder of the files as they are shipped, ``proxies`` as in TRUSTED_PROXIES.
    Raises Refused.
    """
    folder = instance / "nginx"
    certificate, key = health_certificate(now)
    files = {
        "application.conf": application_conf.encode(),
        "ceilings.conf": (nginx / "ceilings.conf").read_bytes() + real_address(proxies).encode(),
        "strangers.conf": STRANGERS.encode(),
        "health.crt": certificate,
        "health.key": key,
    }
    for name, content in files.items():
        write(folder / name, content, 0o440)


def real_address(proxies: str) -> str:
    """Return the lines by which Nginx takes a client's address from the proxies in front.

    Without them all clients behind one proxy share its address, and with it the limits per
    address. Raises Refused.
    """
    lines = []
    for word in proxies.split():
        try:
            network = ip_network(word)
        except ValueError as error:
            raise Refused(
                f"TRUSTED_PROXIES: {error}; fix: write networks such as 10.244.0.0/16"
            ) from None
        if network.prefixlen == 0:
            raise Refused(
                f"TRUSTED_PROXIES: {word} is everybody, who could then write any address; "
                "fix: name the network of the proxies alone"
            )
        lines.append(f"set_real_ip_from {network};\n")
    return "".join([*lines, "real_ip_header X-Forwarded-For;\n"]) if lines else ""


def health_certificate(now: datetime) -> tuple[bytes, bytes]:
    """Return a certificate without a real name, and its key, in PEM: made anew for each pod."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "health")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that others cannot read before it has its mode."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        os.fchmod(handle, mode)


def nginx_conf() -> str:
    """Return what `secureml nginx-conf` prints. Raises Refused with its message."""
    program = Path(sys.executable).parent / "secureml"
    done = subprocess.run(  # noqa: S603 - our own program
        [str(program), "nginx-conf"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def _folders() -> None:
    make_folders(VOLUMES, MODELS, PASSWORDS)


def _nginx() -> None:
    write_nginx_files(
        Path(os.environ["SECUREML_INSTANCE"]),
        CHECKOUT / "deploy/nginx",
        os.environ.get("TRUSTED_PROXIES", ""),
        nginx_conf(),
        datetime.now(UTC),
    )


ACTIONS: dict[str, Callable[[], None]] = {"folders": _folders, "nginx": _nginx}


def main(arguments: Sequence[str]) -> int:
    """Do one of the two, and say in one line what is wrong."""
    action = ACTIONS.get(arguments[0]) if len(arguments) == 1 else None
    if action is None:
        print("usage: prepare_pod.py folders | nginx", file=sys.stderr)
        return 2
    try:
        action()
    except (Refused, OSError) as error:
        print(f"prepare_pod: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
