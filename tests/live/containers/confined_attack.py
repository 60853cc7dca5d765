"""Run in a container: hostile work under the confinement that sealing has there, as JSON."""

import json
import sys
from pathlib import Path

sys.path.insert(0, "/opt/secureml")
from secureml.confinement.capabilities import available
from secureml.confinement.limits import Limits
from secureml.confinement.run import Job, run

HERE = Path(__file__).resolve().parent
ATTACKS = {
    "open_socket": ("1", "1"),
    "read": ("/var/lib/secureml/keys/audit.key",),
    "fork_and_ignore": (),
}


def outcome_of(name, arguments):
    job = Job(f"hostile_work:{name}", arguments, search_path=[HERE])
    limits = Limits(memory=2**30, processor=20, wall=60)
    outcome = run(job, limits=limits, output=Path("/tmp/result"))
    return {"ok": outcome.ok, "messages": outcome.messages, "said": outcome.explain("it")}


attacks = {name: outcome_of(name, arguments) for name, arguments in ATTACKS.items()}
print(json.dumps({"available": available().describe(), "attacks": attacks}))
