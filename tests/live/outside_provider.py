"""The npm package `oidc-provider` as an identity provider somebody else runs, on loopback.

Installed once for each lock file, into the virtual environment; started for a test and ended
by its own pid. Keys are ours to choose, so that they can be rotated under it.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from live_servers import end, free_port

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

HERE = Path(__file__).parent / "oidc_provider"
FILES = ("package.json", "package-lock.json", ".npmrc")
LEAST_NODE = 20
NODE = (
    "Node.js 20 or later with npm is missing; "
    "pip install -r tests/requirements-node.txt in an environment of its own, on the PATH"
)
SITE, BACK = "https://ml.example.org", "https://site.example.org/back"


def installed(npm: str, locked: Path = HERE) -> Path:
    """Return a folder with the packages of a lock file (the provider) installed exactly so."""
    wanted = hashlib.sha256(b"".join((locked / name).read_bytes() for name in FILES)).hexdigest()
    folder = Path(sys.prefix, locked.name.replace("_", "-"), wanted[:16])
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=folder.parent))
    for name in FILES:
        shutil.copy(locked / name, making)
    done = subprocess.run(
        [npm, "ci", "--no-progress"], cwd=making, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with contextlib.suppress(OSError):  # another run was quicker
        making.rename(folder)
    return folder


def too_old(node: str) -> bool:
    """Tell whether the provider cannot run on this Node.js."""
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", said)
    return found is None or int(found[1]) < LEAST_NODE


class OutsideProvider:
    """One provider that can be stopped, and started again with other keys."""

    def __init__(self, node: str, folder: Path) -> None:
        self._node, self._folder, self.port = node, folder, free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self, *keys: ECKey) -> None:
        program = self._folder / "provider.mjs"
        shutil.copy(HERE / "provider.mjs", program)
        entries = [key.as_dict(private=True, use="sig", alg="ES256") for key in keys]
        words = {"issuer": self.issuer, "port": self.port, "jwks": {"keys": entries}}
        environment = {**os.environ, "NODE_ENV": "test", "NODE_NO_WARNINGS": "1"}
        self._process = subprocess.Popen(
            [self._node, program.name], cwd=self._folder, text=True, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words))
        self._process.stdin.close()
        if "ready" not in iter(lambda: self._process.stdout.readline().strip() or "end", "end"):
            pytest.fail("oidc-provider did not start")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process.pid)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def rotate(self, *keys: ECKey) -> None:
        self.stop()
        self.start(*keys)

    def token(self, audience: str = SITE, scope: str = "ml.predict", **headers: str) -> str:
        """Return an access token by client credentials (RFC 6749, 4.4; RFC 8707)."""
        answer = requests.post(
            f"{self.issuer}/token",
            data={"grant_type": "client_credentials", "resource": audience, "scope": scope},
            auth=("machine", "a machine of the tests"),
            headers=headers,
            timeout=10,
        )
        assert answer.ok, answer.text
        return str(answer.json()["access_token"])

    def id_token(self) -> str:
        """Sign a person in, as a browser would, and return the ID token the site is given."""
        with requests.Session() as browser:
            words = {"client_id": SITE, "response_type": "code", "scope": "openid"}
            words |= {"redirect_uri": BACK, "nonce": "n-1"}
            page = browser.get(f"{self.issuer}/auth", params=words, timeout=10)
            for answers in (
                {"prompt": "login", "login": "ann", "password": "x"},
                {"prompt": "consent"},
            ):
                page, code = self._submit(browser, page, answers)
            basic = (requests.utils.quote(SITE, safe=""), "a+site+of+the+tests")
            data: dict[str, Any] = {"grant_type": "authorization_code", "code": code}
            given = browser.post(
                f"{self.issuer}/token", data=data | {"redirect_uri": BACK}, auth=basic, timeout=10
            )
            assert given.ok, given.text
            return str(given.json()["id_token"])

    @staticmethod
    def _submit(
        browser: requests.Session, page: requests.Response, answers: dict[str, str]
    ) -> tuple[requests.Response, str]:
        action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        assert action is not None, page.text
        page = browser.post(
            html.unescape(action[1]), data=answers, allow_redirects=False, timeout=10
        )
        while page.is_redirect:
            where = page.headers["Location"]
            if where.startswith(BACK):
                code = re.search(r"[?&]code=([^&]+)", where)
                assert code is not None, where
                return page, code[1]
            page = browser.get(
                requests.compat.urljoin(page.url, where), allow_redirects=False, timeout=10
            )
        return page, ""
