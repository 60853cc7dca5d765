"""One command from a bare machine to HTTPS; upgrades, renewals, restarts and the way back.

On a Debian 12 under systemd-nspawn (live_machine.py) with pebble as certificate authority. Each
test leaves the machine as it was, serving.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live_machine import Machine, archive, debian, demand_root, wheels
from live_servers import CHECKOUT
from live_serving import until
from live_site import HOST, INSTALL, MODEL, UNINSTALL, Site, bring, failed, installed, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture(scope="module")
def make_machine(
    tmp_path_factory: pytest.TempPathFactory, tool: Callable[[str, str], str]
) -> Callable[[str], Machine]:
    program = tool("mmdebstrap", "apt-get install mmdebstrap")
    tool("systemd-nspawn", "apt-get install systemd-container")
    tool("pebble", "apt-get install pebble")
    demand_root()
    base, packages = debian(program), wheels()
    unpacked = archive(tmp_path_factory.mktemp("program"))

    def make(name: str) -> Machine:
        folder = tmp_path_factory.mktemp(name)
        return Machine(f"{name}-{folder.parent.name}", folder, base, packages, unpacked)

    return make


@pytest.fixture(scope="module")
def site(make_machine: Callable[[str], Machine]) -> Iterator[Site]:
    with installed(make_machine("site")) as made:
        yield made


def test_a_refused_challenge_is_explained_and_the_same_line_continues(site: Site) -> None:
    said = site.refused.stdout
    assert site.refused.returncode == 1, said
    assert f"the authority finds no address for {HOST}" in said
    assert f"fix: make an A or AAAA record for {HOST} that leads to this machine" in said
    assert "a certificate for ml.example.org" in site.installed
    assert "packages, each checked" not in site.installed  # what was done was kept
    print(f"{said}\nboth runs: {site.seconds:.0f} s, packages from folders of the host")


def test_the_line_at_the_end_works(site: Site) -> None:
    (line,) = re.findall(r"^curl .*$", site.installed, re.MULTILINE)
    assert '{"instances": [[20.0, 0.0]]}' in line  # of the table
    more = f" -s -w ' %{{http_code}}' --cacert /mnt/shared/root.pem --resolve {HOST}:443:127.0.0.1"
    said = site.machine.must(line + more)
    assert said.endswith(" 200"), said
    assert json.loads(said.removesuffix(" 200"))["model"] == {"name": "churn", "version": "1"}
    assert site.ask(site.machine, "sml_wrong_key").endswith(" 401")


def test_a_second_run_changes_nothing_and_says_so(site: Site) -> None:
    assert "; nothing was changed." in site.again, site.again
    site.machine.must("/opt/secureml/.venv/bin/python -c 'import lz4'")  # of --extra
    before, after = site.state
    assert len(before) > 1000
    assert before ^ after == set()


def test_the_unit_runs_in_its_sandbox_and_the_sealing_key_is_roots(site: Site) -> None:
    assert "churn is sealed, by a confined process" in site.refused.stdout
    said = site.machine.must("""
        pid=$(systemctl show -p MainPID --value secureml.service)
        grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/$pid/status
        [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/1/ns/net)" ]
        nsenter -t $pid -m touch /opt/secureml/x /etc/x /var/lib/secureml/secureml.toml 2>&1 || true
        runuser -u secureml -- cat /etc/secureml/model-signing.key 2>&1 || true
        stat -c '%a %U' /etc/secureml/model-signing.key
        systemctl is-enabled secureml.socket secureml.service secureml-audit.timer \
            certbot.timer nginx
        ls /var/lib/secureml/keys
    """)
    assert "CapEff:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    assert "Seccomp:\t2" in said
    assert "Uid:\t0" not in said
    assert said.count("Read-only file system") == 3
    assert "model-signing.key: Permission denied" in said
    assert "600 root" in said
    assert said.count("enabled") == 5
    assert "model-signing.key" not in said.rpartition("enabled")[2]


def test_neither_a_restart_nor_a_reload_fails_a_request(site: Site) -> None:
    with site.machine.load(site.request) as load:
        site.machine.must("systemctl restart secureml.service")
        site.machine.must("systemctl reload secureml.service")
        site.machine.must("systemctl reload nginx")
        answers = load.end()
    assert len(answers) > 40
    assert failed(answers) == []
    longest = max(answer["end"] - answer["begin"] for answer in answers)
    print(f"restart and reload: {len(answers)} requests, none failed, longest wait {longest:.1f} s")


def test_a_reboot_breaks_no_request_that_was_sent(site: Site) -> None:
    """Between the end of Nginx and its next start connections are refused, as they must be."""
    with site.machine.load(site.request) as load:
        site.machine.run("systemctl reboot")
        assert site.machine.is_up()
        assert site.ask(site.machine).endswith(" 200")
        answers = load.end()
    assert [answer for answer in failed(answers) if answer["sent"]] == []
    refused = failed(answers)
    assert {answer["fault"].partition(":")[0] for answer in refused} <= {
        "ConnectionRefusedError", "ConnectionResetError",
    }  # fmt: skip
    assert answers[-1]["status"] == 200
    print(f"reboot: {len(answers)} requests, {len(refused)} connections refused meanwhile")


def served_serial(site: Site) -> str:
    """Return the serial number of the certificate that Nginx shows."""
    return site.machine.must(f"""
        openssl s_client -connect 127.0.0.1:443 -servername {HOST} < /dev/null 2>/dev/null |
            openssl x509 -noout -serial
    """).strip()


def test_a_certificate_is_renewed_without_a_failed_request(site: Site) -> None:
    before = served_serial(site)
    with site.machine.load(site.request) as load:
        site.machine.must("systemctl start certbot.service", 120)  # as its timer does
        # It is good for 10 days, and certbot renews what ends within 30. A reload is asked for;
        # the workers of before answer until the new ones do.
        assert until(lambda: served_serial(site) != before, 30)
        answers = load.end()
    assert failed(answers) == []
    said = site.machine.must(f"""
        openssl x509 -in /var/lib/secureml/edge.crt -noout -serial
        openssl x509 -in /etc/letsencrypt/live/{HOST}/fullchain.pem -noout -serial
    """)
    assert said.split() == [served_serial(site)] * 2


def test_a_certificate_that_is_not_renewed_is_alarmed(site: Site) -> None:
    said = site.machine.must("""
        cd /opt/secureml && .venv/bin/python - <<'END'
from datetime import timedelta
from pathlib import Path
from secureml.cli import certificates
Path("/srv/old").mkdir(exist_ok=True)
certificates.make(Path("/srv/old"), ["ml.example.org"], certificates.utc_now() - timedelta(350))
END
        install -m 0644 /srv/old/server.crt /var/lib/secureml/edge.crt
        runuser -u secureml -- secureml check
        runuser -u secureml -- secureml clients add prometheus --scope metrics
        runuser -u secureml -- secureml api-keys issue prometheus > /srv/issued
        key=$(grep -o 'sml_[^ ]*' /srv/issued | head -n 1)
        curl -s --cacert /mnt/shared/root.pem --resolve ml.example.org:443:127.0.0.1 \
            -H "X-API-Key: $key" https://ml.example.org/metrics | grep not_after
        date +now=%s
        cd /etc/letsencrypt/live/ml.example.org
        install -m 0644 fullchain.pem /var/lib/secureml/edge.crt
    """)
    assert "warning: /var/lib/secureml/edge.crt: the certificate ends on " in said
    (ends,) = re.findall(
        r'^secureml_certificate_not_after\S*\{file="edge.crt"\} (\S+)$', said, re.MULTILINE
    )
    (now,) = re.findall(r"^now=(\d+)$", said, re.MULTILINE)
    rules = (CHECKOUT / "deploy/monitoring/secureml.rules.yml").read_text("utf-8")
    (days,) = re.findall(r"not_after_timestamp_seconds - time\(\) < (20) \* 86400", rules)
    assert 0 < float(ends) - float(now) < int(days) * 86400  # the alert fires


def test_an_upgrade_fails_no_request_and_a_bad_one_goes_back(site: Site) -> None:
    machine = site.machine
    machine.must("rm -rf /srv/next && cp -a /opt/secureml/. /srv/next && rm -rf /srv/next/.venv")
    first = machine.must("readlink /opt/secureml")
    with machine.load(site.request) as load:
        machine.must("echo '# the next release' >> /srv/next/wsgi.py")
        said = machine.must("/srv/next/deploy/vm/upgrade.sh")
        good = machine.must("readlink /opt/secureml")
        assert good != first
        assert "all is well" in said, said
        # A server that cannot start: the one before has never stopped.
        machine.must("echo 'raise RuntimeError(\"unstartable\")' >> /srv/next/wsgi.py")
        unstartable = machine.run("/srv/next/deploy/vm/upgrade.sh")
        answers = load.end()
    assert failed(answers) == []
    print(f"upgrade and failed upgrade: {len(answers)} requests, none failed")
    assert unstartable.returncode == 1
    assert f"going back to {Path(good.strip()).name}" in unstartable.stdout, unstartable.stdout
    assert machine.must("readlink /opt/secureml") == good
    # One that starts, and then answers no prediction.
    machine.must("""sed -i '$d' /srv/next/wsgi.py && cat >> /srv/next/wsgi.py <<'END'
_answer = application.wsgi_app
def _broken(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        raise RuntimeError("broken release")
    return _answer(environ, start_response)
application.wsgi_app = _broken
END""")
    wrong = machine.run("/srv/next/deploy/vm/upgrade.sh")
    assert wrong.returncode == 1
    assert "the first prediction of churn answers 500" in wrong.stdout, wrong.stdout
    assert site.ask(machine).endswith(" 200")
    assert machine.must("readlink /opt/secureml") == good
    assert "Done in" in machine.must("/opt/secureml/deploy/vm/upgrade.sh --back")
    assert machine.must("readlink /opt/secureml") == first
    assert site.ask(machine).endswith(" 200")


@pytest.fixture(scope="module")
def second(site: Site, make_machine: Callable[[str], Machine]) -> Iterator[Machine]:
    """A machine that has the program's packages, and the backup of the first one."""
    site.machine.must(f"""
        systemctl start secureml-audit.service
        {lines("Back up")}
        cp "$(ls -t /var/backups/secureml/2*.tar.gz | head -1)" /mnt/shared/backup.tar.gz
    """)
    machine = make_machine("second")
    for name in ("backup.tar.gz", "root.pem", "churn.joblib", "training.csv"):
        shutil.copy(site.machine.shared / name, machine.shared)
    # Not fetched and unpacked once more: the packages are those of the first.
    packages = site.machine.folder / "over/var/installed"
    subprocess.run(["cp", "-al", packages, machine.folder / "over/opt"], check=True, timeout=60)
    with machine:
        yield machine


def test_a_backup_is_restored_on_another_machine_and_removed_there(
    site: Site, second: Machine
) -> None:
    # Other ids than on the first machine: names are what counts.
    second.must("useradd --system someone")
    restore = lines("Restore")
    assert restore.count("deploy/vm/install.sh --restore /var/backups/secureml/2") == 1
    said = second.must(re.sub(r"deploy/vm/install.sh --restore \S+", f"{INSTALL} --restore "
                              "/mnt/shared/backup.tar.gz", restore))  # fmt: skip
    assert "is restored" in said
    assert "unbroken" in said
    assert site.ask(second).endswith(" 200")
    said = second.must("""
        cd /var/lib/secureml && stat -c '%n %U:%G %a' secureml.toml keys/* store/* models
        stat -c '%n %U:%G %a' /etc/nginx/deploy/nginx/edge_token.conf
        stat -c '%n %U:%G %a' /etc/secureml/model-signing.key
    """)
    for expected in (
        "secureml.toml root:secureml 640", "keys/audit.key secureml:secureml 600",
        "store/secureml.db secureml:secureml 600", "store/audit-head secureml:secureml 600",
        "models root:secureml 750", "edge_token.conf root:root 600",
        "model-signing.key root:root 600",
    ):  # fmt: skip
        assert expected in said, said
    # The data outlives the program, and is used again.
    said = second.must(f"cp -al /opt/secureml-releases /srv/kept\n{UNINSTALL}")
    assert "kept: /var/lib/secureml" in said
    assert second.run("ls /opt/secureml /etc/systemd/system/secureml.service").returncode == 2
    assert second.run(f"curl -sk https://{HOST}/ --resolve {HOST}:443:127.0.0.1").returncode == 7
    said = second.must(f"cp -al /srv/kept /opt/secureml-releases\n{INSTALL} --host {HOST}")
    assert "first has its key already" in said
    assert site.ask(second).endswith(" 200")
    # And then nothing of it is left.
    user = second.must("id -u secureml").strip()
    second.must(f"{UNINSTALL} --purge")
    left = second.must(f"""
        find / -xdev -uid {user}
        cd /etc
        ls -d /var/lib/secureml* secureml nginx/deploy letsencrypt/live/{HOST} 2>&1 || true
        getent passwd secureml || true
    """)
    assert left.count("No such file") == 4, left
    assert len(left.splitlines()) == 4, left


def test_in_a_closed_network_an_address_and_a_private_authority_are_enough(
    site: Site, make_machine: Callable[[str], Machine]
) -> None:
    machine = make_machine("closed")
    bring(machine.shared)
    packages = site.machine.folder / "over/var/installed"
    subprocess.run(["cp", "-al", packages, machine.folder / "over/opt"], check=True, timeout=60)
    with machine:
        installed = machine.must(f"{INSTALL} --host 127.0.0.1 --self-signed {MODEL}")
        (line,) = re.findall(r"^curl .*$", installed, re.MULTILINE)
        assert '"predictions"' in machine.must(f"{line} -s")
        serial = "openssl x509 -in /etc/secureml/tls/server.crt -noout -serial"
        before = machine.must(serial)
        machine.must("systemctl start secureml-certificate.service")
        assert machine.must(serial) == before
        # Near its end it is renewed, and clients who trust the authority notice nothing.
        machine.must("""
            rm /etc/secureml/tls/server.*
            cd /opt/secureml && .venv/bin/python - <<'END'
from datetime import timedelta
from pathlib import Path
from secureml.cli import certificates
now = certificates.utc_now()
certificates.make(Path("/etc/secureml/tls"), ["127.0.0.1"], now - timedelta(340))
END
            systemctl reload nginx""")
        machine.must("systemctl start secureml-certificate.service")
        assert '"predictions"' in machine.must(f"{line} -s")
        assert machine.run("openssl x509 -in /etc/secureml/tls/server.crt -noout -checkend "
                           f"{360 * 86400}").returncode == 0  # fmt: skip
