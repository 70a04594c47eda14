"""Transactions. The only place that binds a tenant and an actor, and the only one that commits."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.rows import dict_row, tuple_row
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from identity.credentials import scrub
from identity.ids import TenantId
from resources.postgres.errors import is_outcome_unknown, is_taken_back, redacted, translated

Row = dict[str, Any]
_Answer = TypeVar("_Answer")

_BEGIN_SECONDS = 20.0
"""How long a server that restarts is waited for: shorter than Dagster waits for a sensor."""

BOUND = "SELECT found.* FROM metadata.bound(%(bound_to)s, %(by)s) AS b CROSS JOIN LATERAL "
"""How a look at one function begins that is made very often: `BOUND + "metadata.f(CASE WHEN b THEN … END) AS found"`.

The function is called with something of `b`, so it is called when the tenant is bound, in the statement's transaction.
"""

_BIND = "SELECT set_config('metadata.tenant', %s, true), set_config('metadata.actor', %s, true)"


@dataclass(frozen=True, slots=True)
class Session:
    """One open transaction of one tenant. Helpers take it and never commit."""

    connection: sa.Connection
    tenant: TenantId
    actor: str

    def rows(
        self,
        statement: str,
        parameters: Mapping[str, Any] | Sequence[Any] = (),
        *,
        planned_anew: bool = False,
        binary: bool = False,
    ) -> list[Row]:
        """The rows of one statement in psycopg's own words (%s, %(name)s).

        `planned_anew`: for these very parameters, where how many there are decides how it is best done. `binary`: the
        answer comes as PostgreSQL has it, where many bytes of it are no text.
        """
        with self._cursor() as cursor:
            cursor.execute(statement.encode(), parameters, prepare=False if planned_anew else None, binary=binary)
            return cursor.fetchall() if cursor.description else []

    def values(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement as bare tuples, in the order of its columns: where there are very many."""
        driver: psycopg.Connection[Any] = self.connection.connection.driver_connection  # type: ignore[assignment]
        with driver.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(statement.encode(), parameters).fetchall()

    def count(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> int:
        """How many rows one statement wrote."""
        with self._cursor() as cursor:
            cursor.execute(statement.encode(), parameters)
            return cursor.rowcount

    @property
    def tenant_value(self) -> uuid.UUID:
        return self.tenant.value

    def _cursor(self) -> psycopg.Cursor[Row]:
        driver: psycopg.Connection[Any] = self.connection.connection.driver_connection  # type: ignore[assignment]
        return driver.cursor(row_factory=dict_row)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens transactions for one tenant and actor over one engine, one pooled connection at a time."""

    engine: sa.Engine
    tenant: TenantId
    actor: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "actor", scrub(self.actor))

    @property
    def binding(self) -> Row:
        """The parameters of `BOUND`."""
        return {"bound_to": str(self.tenant), "by": self.actor}

    @contextmanager
    def begin(self, *, snapshot: bool = False) -> Iterator[Session]:
        """A transaction: committed when the block ends, rolled back when it raises.

        All statements of a `snapshot` see one moment; it is for looking only.

        It is begun anew where the connection that was kept is gone (the server restarted), for a while: nothing of the
        block has run yet. What happens to the connection later is raised.
        """
        with translating():
            connection, transaction = self._begun(snapshot=snapshot)
            with connection, transaction:
                yield Session(connection, self.tenant, self.actor)

    def perform(self, work: Callable[[Session], _Answer], *, deadline_seconds: float = 60.0) -> _Answer:
        """What `work` answers in a transaction of its own, done anew when the server takes it back (a deadlock).

        Then nothing of it has happened, so it need not be idempotent; it only must not remember anything. Everything
        else that goes wrong is raised.
        """

        def once() -> _Answer:
            with self.begin() as session:
                return work(session)

        with translating():
            return _until(deadline_seconds, is_taken_back)(once)

    def _begun(self, *, snapshot: bool = False) -> tuple[sa.Connection, sa.RootTransaction]:
        connection = self.engine.connect()  # where there never was a connection, waiting for one is not ours
        try:
            return self._bound(connection, snapshot=snapshot)
        except psycopg.Error as error:
            if not _may_ask_again(error):
                raise
        return _until(_BEGIN_SECONDS)(lambda: self._bound(self.engine.connect(), snapshot=snapshot))

    def _bound(self, connection: sa.Connection, *, snapshot: bool) -> tuple[sa.Connection, sa.RootTransaction]:
        """The connection in a transaction that belongs to the tenant; when that fails, the connection is dropped."""
        try:
            if snapshot:  # until the connection is back in the pool
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
            if driver.autocommit:
                driver.autocommit = False
            transaction = connection.begin()
            Session(connection, self.tenant, self.actor).rows(_BIND, (str(self.tenant), self.actor))
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection, transaction

    def call(self, statement: str, parameters: Mapping[str, Any], *, deadline_seconds: float = 60.0) -> list[Row]:
        """The rows of one idempotent statement in a transaction of its own: one round trip.

        When the outcome is unknown (connection lost, deadlock, server restarting) the connection is dropped and the
        same statement is asked again with jitter until `deadline_seconds` have passed (0: never), so it must carry an
        idempotency key. Our own refusals are raised as they are.

        A statement that begins with `metadata.bound(tenant, actor)` is sent alone, which is faster: see `BOUND`.
        """
        if not statement.startswith(BOUND):
            (rows,) = self.calls([(statement, parameters)], deadline_seconds=deadline_seconds)
            return rows
        return self._answered(lambda driver: self._alone(driver, statement, parameters), deadline_seconds)

    def calls(
        self, statements: Sequence[tuple[str, Mapping[str, Any]]], *, deadline_seconds: float = 60.0
    ) -> list[list[Row]]:
        """The rows of several idempotent statements, one after the other in one transaction: one round trip.

        Asked again as `call` is, all of them together.
        """
        return self._answered(lambda driver: self._pipelined(driver, statements), deadline_seconds)

    def call_and_look(
        self, statement: str, parameters: Mapping[str, Any], look: str, of: Callable[[Row], Row]
    ) -> tuple[Row, list[Row]]:
        """The one row that `call` answers, and the rows that a second statement finds about it."""
        (row,) = self.call(statement, parameters)
        return row, self.call(look, of(row))

    def _answered(self, ask: Callable[[psycopg.Connection[Any]], _Answer], deadline_seconds: float) -> _Answer:
        with translating():
            try:
                return self._once(ask)
            except (psycopg.Error, DBAPIError) as error:
                if deadline_seconds <= 0 or not _may_ask_again(error):
                    raise
            answer: _Answer = _until(deadline_seconds)(self._once, ask)
            return answer

    def _once(self, ask: Callable[[psycopg.Connection[Any]], _Answer]) -> _Answer:
        """What one pipeline does between two syncs is one transaction: it needs no BEGIN and no COMMIT to wait for.

        The rows count as an answer only when the last sync came back, which the server sends after the commit.
        """
        fairy = self.engine.raw_connection()
        try:
            driver: psycopg.Connection[Any] = fairy.driver_connection  # type: ignore[assignment]
            if not driver.autocommit:
                driver.autocommit = True  # until somebody begins a transaction on this connection
            answer = ask(driver)
        except BaseException:
            fairy.invalidate()  # a pipeline cut short leaves answers behind: never back into the pool
            raise
        fairy.close()
        return answer

    def _alone(self, driver: psycopg.Connection[Any], statement: str, parameters: Mapping[str, Any]) -> list[Row]:
        with driver.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement.encode(), parameters)
            return cursor.fetchall()

    def _pipelined(
        self, driver: psycopg.Connection[Any], statements: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> list[list[Row]]:
        cursors = [driver.cursor(row_factory=dict_row) for _statement in statements]
        try:
            with driver.pipeline():
                driver.execute(_BIND, (str(self.tenant), self.actor))
                for cursor, (statement, parameters) in zip(cursors, statements, strict=True):
                    cursor.execute(statement.encode(), parameters)
        except psycopg.OperationalError as error:
            raise _refusal_behind(error) from None
        return [cursor.fetchall() for cursor in cursors]


def _refusal_behind(error: psycopg.OperationalError) -> psycopg.Error:
    """What the server said. When it refuses the commit itself, psycopg complains that it cannot leave the pipeline."""
    refusal = error.__context__
    return refusal if isinstance(refusal, psycopg.Error) and refusal.sqlstate is not None else error


def _until(deadline_seconds: float, when: Callable[[BaseException], bool] | None = None) -> Retrying:
    """Asks again with jitter until it may not, or the time is up; then the last error is raised."""
    return Retrying(
        retry=retry_if_exception(when or _may_ask_again),
        wait=wait_random_exponential(multiplier=0.05, max=2.0),
        stop=stop_after_delay(deadline_seconds),
        reraise=True,
    )


def _may_ask_again(error: BaseException) -> bool:
    original = error.orig if isinstance(error, DBAPIError) else error
    return original is not None and is_outcome_unknown(original)


@contextmanager
def translating() -> Iterator[None]:
    """Turn PostgreSQL's refusals into our errors, and its other errors into the same without the driver's message.

    That message repeats what was written. Nothing of it is left behind the new error, either.
    """
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        original = error.orig if isinstance(error, DBAPIError) else error
        ours = _without_data(original) if isinstance(original, psycopg.Error) else None
        if ours is None:
            raise
        try:
            raise ours from None
        finally:
            ours.__context__ = None


def _without_data(error: psycopg.Error) -> Exception:
    return translated(error) or redacted(error)
