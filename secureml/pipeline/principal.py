"""Who asks: what a credential says of its holder, and what the holder may do."""

from __future__ import annotations

from dataclasses import dataclass

from secureml.state import scopes

# The method of a principal that only `secureml access explain` asks about. No plugin can have it
# for a name, so nobody who sends a request is ever known by it.
EXPLAIN_METHOD = "access explain"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks and how we know.

    ``client`` is the named owner, ``subject`` the end user where a token names one (else
    the client again), ``method`` the plugin that identified it, ``credential`` the id of the key
    or token: never a secret. ``scopes`` and ``models`` may be narrowed, see `rights`.
    ``expires`` is when that credential ends by itself, in epoch seconds; None where it never
    does. Whatever is given out for it must end no later.
    Raises TypeError for a field of another kind: in a text given for a set of scopes, each part
    of a word would be found.
    """

    client: str
    subject: str
    scopes: frozenset[str]
    models: frozenset[str]
    tier: str
    method: str
    credential: str
    expires: float | None = None

    def __post_init__(self) -> None:
        if not (type(self.scopes) is type(self.models) is frozenset):
            raise TypeError("a Principal's scopes and models are frozensets of str")
        for text in (self.client, self.subject, self.tier, self.method, self.credential):
            if not isinstance(text, str):
                raise TypeError(
                    f"a Principal's client, subject, tier, method and credential are "
                    f"str, not {type(text).__name__}"
                )

    @property
    def explained(self) -> bool:
        """Whether `secureml access explain` made it: no connection and no credential to check."""
        return self.method == EXPLAIN_METHOD

    def may_use(self, model: str, version: str = "") -> bool:
        """Tell whether the model is among those granted, in this version."""
        return scopes.may_use(self.models, model, version)

    def permits(self, scope: str, model: str = "", version: str = "") -> bool:
        """Tell whether the rights allow an operation, on this model where there is one."""
        return scopes.permits(self.scopes, scope, model, version)


@dataclass(frozen=True, slots=True)
class Credential:
    """One way a client proves itself, for showing: ``scopes`` is None for all of its client's.

    ``state`` is a word: active, expired, revoked. Never the credential itself.
    """

    id: str
    method: str
    scopes: frozenset[str] | None
    state: str
