"""Rehearsals: the real thing on the real rows, and nothing of it stays."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from resources.postgres.session import Row, Session, Sessions


@dataclass(frozen=True, slots=True)
class Rehearsal(Sessions):
    """Sessions whose transactions are judged like any other and then taken back.

    What a store over it answers or refuses is what the same call would answer or refuse now. Each transaction stands
    alone: the second one does not see what the first one did.
    """

    @contextmanager
    def begin(self, *, snapshot: bool = False) -> Iterator[Session]:
        with Sessions.begin(self, snapshot=snapshot) as session:
            yield session
            session.rows("SET CONSTRAINTS ALL IMMEDIATE")  # what a commit would check
            session.connection.rollback()

    def call(self, statement: str, parameters: Mapping[str, Any], *, deadline_seconds: float = 60.0) -> list[Row]:
        """The rows of one statement. It is not asked again, so no deadline counts: nothing was left in doubt."""
        del deadline_seconds
        with self.begin() as session:
            return session.rows(statement, parameters)

    def call_and_look(
        self, statement: str, parameters: Mapping[str, Any], look: str, of: Callable[[Row], Row]
    ) -> tuple[Row, list[Row]]:
        """Both in one transaction, so that the second one finds what the first one did."""
        with self.begin() as session:
            (row,) = session.rows(statement, parameters)
            return row, session.rows(look, of(row))
