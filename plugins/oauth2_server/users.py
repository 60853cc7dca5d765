"""People who may grant their client's rights to a program: a name and a hashed password.

Records are cached until the store says that one changed, so a person who was removed is gone,
with every token in their name, at the next request of every worker.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from secureml.kit.protocols import Store

from .store import TOPIC

CACHE_SIZE = 4096
LONGEST = 63  # characters of a name
SHORTEST = 12  # characters of a password
_NAME = re.compile(r"[a-z0-9][a-z0-9.@-]{0,62}")  # no underscore: never an OAuth client's id

_metadata = sa.MetaData()
_table = sa.Table(
    "oauth2_users",
    _metadata,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("client", sa.String(63), nullable=False, index=True),
    sa.Column("password", sa.String(255), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)


class UserFault(Exception):
    """A person cannot be added, found or changed; one line says why."""


@dataclass(frozen=True, slots=True)
class User:
    """One person; ``client`` is whose rights they may grant."""

    name: str
    client: str
    password: str = field(repr=False)
    created: float


class Users:
    """Adds, finds, changes and removes people."""

    def __init__(
        self, store: Store, now: Callable[[], float], hashed: Callable[[str], str]
    ) -> None:
        store.register(_metadata)
        self._store, self._now, self._hashed = store, now, hashed
        self._cache: tuple[int, dict[str, User | None]] = (-1, {})

    def get(self, name: str) -> User | None:
        """Return a person, or None."""
        if len(name) > LONGEST:
            return None  # what cannot be is not remembered either
        version = self._store.version(TOPIC)
        cached, users = self._cache
        if cached != version or len(users) >= CACHE_SIZE:
            users = {}
            self._cache = (version, users)
        if name not in users:
            with self._store.read() as connection:
                row = connection.execute(_table.select().where(_table.c.name == name)).first()
            users[name] = None if row is None else User(*row)
        return users[name]

    def add(self, name: str, client: str, password: str) -> User:
        """Add a person; raises UserFault."""
        if not _NAME.fullmatch(name):
            raise UserFault(f"{name[:80]!r} is not a name: up to 63 of a-z 0-9 . @ -")
        made = User(name, client, self._hashed(checked(password)), self._now())
        row = {"name": name, "client": client, "password": made.password, "created": made.created}
        try:
            with self._store.begin() as connection:
                connection.execute(_table.insert().values(row))
                self._store.touch(connection, TOPIC)
        except sa.exc.IntegrityError:
            raise UserFault(f"there is a user {name!r} already") from None
        return made

    def list(self) -> list[User]:
        """Return all people by name."""
        with self._store.read() as connection:
            return [User(*row) for row in connection.execute(_table.select().order_by("name"))]

    def set_password(self, name: str, password: str) -> None:
        """Give a person another password."""
        values = {"password": self._hashed(checked(password))}
        self._write(_table.update().where(_table.c.name == name).values(values), name)

    def unchanged(self, connection: sa.Connection, user: User) -> bool:
        """Tell within a transaction whether a person still has the password they had."""
        theirs = sa.select(_table.c.password).where(_table.c.name == user.name)
        return bool(connection.execute(theirs.with_for_update()).scalar() == user.password)

    def remove(self, name: str) -> None:
        """Forget a person, and end whatever they granted."""
        self._write(_table.delete().where(_table.c.name == name), name)

    def _write(self, statement: sa.Update | sa.Delete, name: str) -> None:
        with self._store.begin() as connection:
            if not connection.execute(statement).rowcount:
                raise UserFault(f"there is no user {name!r}; `secureml oauth2-server users list`")
            self._store.touch(connection, TOPIC)


def checked(password: str) -> str:
    """Return a password that is long enough; raises UserFault."""
    if len(password) < SHORTEST:
        raise UserFault(f"a password has at least {SHORTEST} characters")
    return password
