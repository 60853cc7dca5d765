"""Who may grant rights, and which: a person stands while they and their local client do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .passwords import Passwords
from .store import Condition
from .users import User, Users


class ResourceOwners:
    """Finds persons that stand."""

    def __init__(self, users: Users, passwords: Passwords, owner: Callable[[str], Any]) -> None:
        self._users, self._passwords, self._owner = users, passwords, owner

    def active(self, name: str) -> User | None:
        """Return a person whose local client is let in, or None."""
        user = self._users.get(name)
        owner = self._owner(user.client) if user is not None else None
        return user if owner is not None and owner.enabled else None

    def rights(self, user: User) -> frozenset[str]:
        """Return what a person may grant now."""
        owner = self._owner(user.client)
        return owner.scopes if owner is not None else frozenset()

    def models(self, user: User) -> frozenset[str]:
        """Return the models a person may grant now."""
        owner = self._owner(user.client)
        return owner.models if owner is not None else frozenset()

    def unchanged(self, user: User) -> Condition:
        """Return the condition that nothing comes of a password that was replaced meanwhile.

        It is asked in the transaction that writes: what ends all that came of the old password
        runs after the new one is stored, and so finds whatever was written before.
        """
        return lambda connection: self._users.unchanged(connection, user)

    def sign_in(self, name: str, password: str) -> User | None:
        """Return whose password this is; unknown and wrong take the same time."""
        user = self.active(name)
        right = self._passwords.verify(password, None if user is None else user.password)
        return user if right else None
