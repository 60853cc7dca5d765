"""What a plugin is, and what the core hands it.

A plugin runs in a phase by defining a method of that name, so the base class defines
none: presence is participation. How the class is checked is in `plugin_class`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import Schema

from secureml.kit.instance_file import InstanceFile
from secureml.kit.proxy_requirements import ProxyRequirements
from secureml.pipeline.events import Event, Measure
from secureml.pipeline.phases import Phase
from secureml.pipeline.problems import Kind
from secureml.pipeline.randomness import ProcessGenerator

if TYPE_CHECKING:
    import numpy as np

    from secureml.models.card_section import CardSection
    from secureml.models.serving.registry import Registry
    from secureml.state.clients import Clients
    from secureml.state.signing import SigningKeys
    from secureml.state.store import Store

EXTRAS = frozenset(
    {
        "verify_artifact",
        "row_rules",
        "answer_limits",
        "render",
        "blueprint",
        "commands",
        "panel",
        "ready",
        "on_event",
        "records",
        "measures",
        "start_worker",
        "credentials",
        "check_routes",
        "backup_order",
        "close",
    }
)


@dataclass(frozen=True)
class Host:
    """What the core hands a plugin; nothing in it opens anything before it is used.

    ``folder`` is the plugin's own place in the instance folder; it may not exist yet.
    ``now`` returns seconds since the epoch (UTC).
    ``emit`` lets every plugin that has an ``on_event`` know what happened outside a request; inside
    one, `Exchange.add_event` does. ``measures`` returns what all plugins can measure now.
    ``unready`` returns why requests cannot be answered now, as /readyz does; empty if they can.
    ``signing`` is the ring of our own signing keys: one signs, all that are not retired verify.
    ``generator`` returns NumPy's random generator of this process; keep it nowhere.
    """

    name: str
    instance: Path
    folder: Path
    profile: str
    now: Callable[[], float]
    store: Store
    clients: Clients
    models: Registry
    signing: SigningKeys
    emit: Callable[[Event], None]
    measures: Callable[[], Sequence[Measure]]
    unready: Callable[[], Sequence[str]]
    generator: Callable[[], np.random.Generator] = field(default_factory=ProcessGenerator)


class Plugin:
    """One concern. Subclasses set a name and a schema and define methods named after phases."""

    name: ClassVar[str]
    schema: ClassVar[type[Schema]] = Schema
    # A vital recorder that fails turns the answer into a 503: unwritten means unanswered.
    vital: ClassVar[bool] = False
    # The concern that it takes care of, of those that production demands (`production.CONCERNS`).
    concern: ClassVar[str] = ""
    # Why production does not run with it unless that is waived by its name: "gives access to all".
    risk: ClassVar[str] = ""
    # Whether callers can try passwords or secrets at its routes: production slows guessing then.
    accepts_secrets: ClassVar[bool] = False
    # What it owns in the instance folder at paths that no setting moves: modes, backups, what
    # other plugins may not write and what `secureml init` makes follow from it.
    instance_files: ClassVar[Sequence[InstanceFile]] = ()
    # What it needs of the proxy in front; set on the instance where it varies.
    proxy_requirements: ProxyRequirements | None = None
    # The keys of its table by which it verifies that a request comes from the proxy, to be named
    # where such a plugin is missing; empty where it never does. See `verifies_proxy`.
    proxy_verification_keys: ClassVar[tuple[str, ...]] = ()
    # Its command that issues a key to a client (CLIENT in it), which with --json prints an object
    # with the `key` for its `credential_header`: ``secureml NAME WORDS``.
    issue_command: ClassVar[tuple[str, ...]] = ()
    # Its command that verifies its files, such as after a restore: ``secureml NAME WORDS``.
    verify_command: ClassVar[tuple[str, ...]] = ()
    # Problem codes the plugin adds, each beginning with its own name and a dot.
    problems: ClassVar[tuple[Kind, ...]] = ()
    # Scopes it asks about itself, beside those that its routes demand.
    scopes: ClassVar[tuple[str, ...]] = ()
    # Other words its commands answer to, beside its name, such as a short one.
    aliases: ClassVar[tuple[str, ...]] = ()
    # Plugins that must come later in the operator's list, where they are in it: in every phase the
    # list is the order, and who wants to see what others take away must be asked first.
    runs_before: ClassVar[tuple[str, ...]] = ()
    # Phases at which it must be the first, or the last, of all plugins that stand there: one that
    # settles what the others read, or that leaves nothing to those behind it.
    first_at: ClassVar[tuple[str, ...]] = ()
    last_at: ClassVar[tuple[str, ...]] = ()
    # What it keeps on the signed card of every model; learned when a model is sealed.
    card_section: ClassVar[CardSection | None] = None
    # What an IDENTIFY plugin puts into WWW-Authenticate; set on the instance where it varies.
    challenge: str | None = None
    # The header an IDENTIFY plugin reads credentials from. A request that carries two such
    # headers of different plugins is refused: which of the two callers it is, nobody can know.
    credential_header: str | None = None
    # Headers beside `credential_header` in which a caller proves itself, such as DPoP: a page of
    # an allowed origin may send them.
    proof_headers: ClassVar[tuple[str, ...]] = ()
    # Headers in which it looks for credentials without proving them, such as a guard against
    # guessing; set on the instance. It must know every `credential_header`, or guesses pass unseen.
    guards_headers: Sequence[str] = ()
    # Whose tokens an IDENTIFY plugin believes, by their `iss`; set on the instance. Two plugins
    # that claim one issuer stop the start: each would refuse what the other has issued.
    issuers: Sequence[str] = ()
    # An IDENTIFY plugin that names callers by their connection, as the edge tells of it. It stands
    # behind all that read a header, and needs a plugin that can tell the edge from everybody else.
    identifies_by_connection: ClassVar[bool] = False
    # Whether this plugin sets `Exchange.proxy_verified`; set on the instance where it varies.
    verifies_proxy: bool = False
    # Whom it believes of those who connect: "unix" and networks; set on the instance. Where it
    # names some, [server] bind must be where they can connect. Empty: it does not decide that.
    believed_peers: Sequence[str] = ()

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        """Take the checked table; open no socket, thread or database handle here."""


def phases_of(plugin: type[Plugin] | Plugin) -> tuple[Phase, ...]:
    """Return the phases a plugin runs in, in the order of the pipeline."""
    return tuple(phase for phase in Phase if hasattr(plugin, phase.value))
