"""Two at once: real threads, one store, and each text is good once."""

from __future__ import annotations

import threading

from plugins.oauth2_server.clients import CODE, DEVICE, MACHINE, REFRESH
from tests.oauth_app import BACK, SITE
from tests.outside_issuer import EC


def at_once(core, number, work):
    """Return what ``number`` callers get who begin in the same moment."""
    gate, found = threading.Barrier(number), []

    def run(place):
        http = core.app.test_client()
        gate.wait()
        found.append(work(http, place))

    threads = [threading.Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == number
    return found


def posted(core, form, headers=None):
    """Return a caller that sends this form to the token endpoint."""
    secret = {"client_id": core.web, "client_secret": core.web_secret}

    def work(http, _place):
        return http.post("/oauth2/token", data=secret | form, headers=headers, base_url=SITE)

    return work


def test_attack_one_code_traded_by_many_at_once(core):
    """At most one gets tokens, and since it was copied, they end."""
    form = {
        "grant_type": CODE, "code": core.code(), "redirect_uri": BACK, "code_verifier": "a" * 43,
    }  # fmt: skip
    answers = at_once(core, 4, posted(core, form))
    good = [answer.json for answer in answers if answer.status_code == 200]
    assert len(good) <= 1
    assert {answer.json.get("error") for answer in answers} <= {None, "invalid_grant"}
    for pair in good:
        assert core.ask(pair["access_token"]).status_code == 401
        assert core.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"
    assert core.happened("authn_token_reuse")


def test_attack_one_refresh_token_used_by_many_at_once(core):
    first = core.pair()
    form = {"grant_type": REFRESH, "refresh_token": first["refresh_token"]}
    answers = at_once(core, 4, posted(core, form))
    good = [answer.json for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert core.happened("authn_token_reuse")
    for pair in (first, *good):
        assert core.ask(pair["access_token"]).status_code == 401
        assert core.refresh(pair["refresh_token"]).json["error"] == "invalid_grant"


def test_attack_one_device_code_fetched_by_many_at_once(core):
    program = core.device_program()
    begun = core.post("/oauth2/device_authorization", client_id=program, scope="predict").json
    scopes = frozenset({"predict"})
    assert core.server.devices.approve(begun["user_code"], "ann", allow=True, scopes=scopes)
    form = {
        "grant_type": DEVICE, "device_code": begun["device_code"],
        "client_id": program, "client_secret": "",
    }  # fmt: skip

    def work(http, _place):
        kept = {name: value for name, value in form.items() if value}
        return http.post("/oauth2/token", data=kept, base_url=SITE)

    answers = at_once(core, 4, work)
    good = [answer.json for answer in answers if answer.status_code == 200]
    assert len(good) <= 1
    for pair in good:
        assert core.ask(pair["access_token"]).status_code == 401


def test_attack_one_proof_shown_by_many_at_once(core):
    form = {"grant_type": MACHINE, "client_id": core.machine, "client_secret": core.machine_secret}
    headers = {"DPoP": core.dpop(EC, jti="once")}
    answers = at_once(
        core, 4,
        lambda http, _: http.post("/oauth2/token", data=form, headers=headers, base_url=SITE),
    )  # fmt: skip
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    refused = {answer.json.get("error") for answer in answers}
    assert refused == {None, "invalid_dpop_proof"}


def test_many_programs_at_once_get_what_is_theirs(core):
    """No token goes to another, however they cross."""
    programs = [core.program(grants=[MACHINE], scopes=[word]) for word in ("predict", "other") * 2]

    def work(http, place):
        name, secret = programs[place]
        form = {"grant_type": MACHINE, "client_id": name, "client_secret": secret}
        return place, http.post("/oauth2/token", data=form, base_url=SITE).json

    for place, body in at_once(core, 4, work):
        said = core.introspect(body["access_token"], programs[place]).json
        assert (said["client_id"], said["scope"]) == (programs[place][0], body["scope"])
