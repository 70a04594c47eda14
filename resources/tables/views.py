"""The view of a published version: which columns it has, and how it takes the place of the one before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import errors, sql

from identity.errors import MetadataError
from resources.tables.registry import Connection
from resources.tables.store import PARTITION_COLUMN

_INTEGERS: Final = ("smallint", "integer", "bigint", "numeric(20,0)")
_FLOATS: Final = ("real", "double precision")
_NULL: Final = "null"
"""Arrow's type of a column that has nothing but nulls: it takes the type that the other partitions have."""


class ViewInUse(MetadataError):
    """{view} cannot follow version {version}, because its columns change ({change}) and {dependents} would be lost; \
it stays at the version before: drop these, run again, and make them anew"""

    view: str
    version: int
    change: str
    dependents: str


class ColumnsDiffer(MetadataError):
    """{view} cannot follow version {version}: the partitions {partitions} have column {column} as {types}; \
it stays at the version before: materialize them again with one type"""

    view: str
    version: int
    partitions: str
    column: str
    types: str


class NameTakenByOther(MetadataError):
    """{view} cannot follow version {version}: something of that name is there, and it is not the dataset's; \
move it away and run again"""

    view: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One table of a version. `columns` are (name, Arrow's type, PostgreSQL's type)."""

    partition: str | None
    path: tuple[str, str]
    columns: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a dataset's view is to be."""

    schema: str
    name: str
    version: int
    parts: Sequence[Part]

    @property
    def shown(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


Columns = Mapping[str, str]
"""The types of columns, as PostgreSQL writes them, in their order."""


def columns_of(view: View) -> Columns:
    """The columns of all parts, those of the last part first; one type for each. Raises ColumnsDiffer."""
    columns = {}
    for name in dict.fromkeys(column for part in reversed(view.parts) for column, _arrow, _kind in part.columns):
        found = {
            kind: part.partition
            for part in view.parts
            for column, arrow, kind in part.columns
            if column == name and arrow != _NULL
        }
        common = _common(list(found))
        if common is None:
            raise ColumnsDiffer(
                view=view.shown,
                version=view.version,
                partitions=", ".join(str(one) for one in found.values()),
                column=name,
                types=" and ".join(found),
            )
        columns[name] = common
    return columns


def _common(kinds: Sequence[str]) -> str | None:
    """The type that holds the values of all of them exactly; numbers only are widened."""
    if len(kinds) < 2:
        return kinds[0] if kinds else "text"
    for ladder in (_INTEGERS, _FLOATS):
        if all(kind in ladder for kind in kinds):
            return max(kinds, key=ladder.index)
    exact = all(kind in _INTEGERS or kind.startswith("numeric") for kind in kinds)
    return "numeric" if exact else None


def show(connection: Connection, view: View, before: tuple[str, str] | None) -> None:
    """Let the view be this one, in the transaction of the caller.

    `before` is what the dataset's view is called now, None when it has none. Grants, owner and comment stay. Raises
    ViewInUse, ColumnsDiffer, NameTakenByOther: then roll back.
    """
    present = _present(connection, before) if before else {}
    if before and not present and not view.parts:
        return
    columns = columns_of(view) if view.parts else {n: k for n, k in present.items() if n != PARTITION_COLUMN}
    divided = any(part.partition is not None for part in view.parts) or (not view.parts and PARTITION_COLUMN in present)
    if not columns:
        return
    wanted = {**({PARTITION_COLUMN: "text"} if divided else {}), **columns}
    if not before or before == (view.schema, view.name):
        kept = [name for name in present if name in wanted]
        ordered = {name: wanted[name] for name in [*kept, *(n for n in wanted if n not in present)]}
        if present and _begins_with(ordered, present):
            connection.execute(_statement("CREATE OR REPLACE VIEW {} AS {}", view, ordered))
            return
    if before and present:
        _make_anew(connection, view, wanted, present, before)
        return
    try:
        connection.execute(_statement("CREATE VIEW {} AS {}", view, wanted))
    except errors.DuplicateTable:
        raise NameTakenByOther(view=view.shown, version=view.version) from None


def _begins_with(columns: Columns, present: Columns) -> bool:
    return list(columns.items())[: len(present)] == list(present.items())


def _statement(template: str, view: View, columns: Columns) -> sql.Composed:
    parts: Sequence[Part | None] = view.parts or [None]
    selects = sql.SQL(" UNION ALL ").join(_select(part, columns) for part in parts)
    return sql.SQL(template).format(view.identifier, selects)


def _select(part: Part | None, columns: Columns) -> sql.Composed:
    """The rows of one table with the columns of the view; of no table, no rows."""
    has = {name for name, _arrow, _kind in part.columns} if part else set()
    listed = sql.SQL(", ").join(
        sql.SQL("{}::{} AS {}").format(_value(part, name, has), sql.SQL(kind), sql.Identifier(name))
        for name, kind in columns.items()
    )
    if part is None:
        return sql.SQL("SELECT {} WHERE false").format(listed)
    return sql.SQL("SELECT {} FROM ONLY {} t").format(listed, sql.Identifier(*part.path))


def _value(part: Part | None, name: str, has: set[str]) -> sql.Composable:
    if part is not None and name in has:
        return sql.Identifier("t", name)
    if part is not None and name == PARTITION_COLUMN:
        return sql.Literal(part.partition)
    return sql.NULL


_ATTRIBUTES: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'v' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

_DEPENDENTS: Final = """
SELECT DISTINCT d.described FROM (
  SELECT CASE WHEN w.ev_class IS NULL THEN pg_describe_object(p.classid, p.objid, p.objsubid)
    ELSE pg_describe_object('pg_class'::regclass, w.ev_class, 0) END AS described
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_depend p ON p.refclassid = 'pg_class'::regclass AND p.refobjid = c.oid AND p.deptype = 'n'
  LEFT JOIN pg_rewrite w ON p.classid = 'pg_rewrite'::regclass AND w.oid = p.objid
  WHERE n.nspname = %s AND c.relname = %s AND w.ev_class IS DISTINCT FROM c.oid) d
ORDER BY 1
"""

_OWNED: Final = """
SELECT pg_get_userbyid(c.relowner), c.relowner = (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user),
  obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""

_GRANTS: Final = """
SELECT g.grantee, g.privilege_type, g.is_grantable, g.attname FROM (
  SELECT a.grantee, a.privilege_type, a.is_grantable, NULL::name AS attname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
  WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.grantee <> c.relowner
  UNION ALL
  SELECT a.grantee, a.privilege_type, a.is_grantable, t.attname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute t ON t.attrelid = c.oid,
    aclexplode(t.attacl) a
  WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.grantee <> c.relowner) g
"""


def _present(connection: Connection, name: tuple[str, str]) -> dict[str, str]:
    return dict(connection.execute(_ATTRIBUTES, name).fetchall())


def check_unused(connection: Connection, before: tuple[str, str], version: int, change: str) -> None:
    """Raise ViewInUse where something depends on the view of this name, which is to be dropped and made anew."""
    dependents = [row[0] for row in connection.execute(_DEPENDENTS, before).fetchall()]
    if dependents:
        raise ViewInUse(view=".".join(before), version=version, change=change, dependents=", ".join(dependents))


def rename(connection: Connection, before: tuple[str, str], name: str) -> None:
    """Call a view otherwise, in its schema. Nothing where no view has the name any more."""
    if _present(connection, before):
        statement = sql.SQL("ALTER VIEW {} RENAME TO {}")
        connection.execute(statement.format(sql.Identifier(*before), sql.Identifier(name)))


def _make_anew(connection: Connection, view: View, wanted: Columns, present: Columns, before: tuple[str, str]) -> None:
    """Drop and create, where CREATE OR REPLACE cannot: a column is gone or has another type, or the name changed."""
    check_unused(connection, before, view.version, _change(wanted, present) or f"its name becomes {view.shown}")
    owned = connection.execute(_OWNED, before).fetchone()
    parameters = {"schema": before[0], "name": before[1]}
    grants = connection.execute(_GRANTS, parameters).fetchall()
    connection.execute(sql.SQL("DROP VIEW {}").format(sql.Identifier(*before)))
    try:
        connection.execute(_statement("CREATE VIEW {} AS {}", view, wanted))
    except errors.DuplicateTable:
        raise NameTakenByOther(view=view.shown, version=view.version) from None
    for grant in grants:
        _grant(connection, view, wanted, grant)
    if owned is not None:
        owner, is_login, comment = owned
        if comment is not None:
            connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view.identifier, sql.Literal(comment)))
        if not is_login:
            connection.execute(sql.SQL("ALTER VIEW {} OWNER TO {}").format(view.identifier, sql.Identifier(owner)))


def _change(wanted: Columns, present: Columns) -> str:
    gone = [f"{name} is gone" for name in present if name not in wanted]
    other = [f"{name} becomes {wanted[name]}" for name in present if name in wanted and wanted[name] != present[name]]
    return ", ".join([*gone, *other])


def _grant(connection: Connection, view: View, columns: Columns, grant: tuple[Any, ...]) -> None:
    grantee, privilege, grantable, column = grant
    if column is not None and column not in columns:
        return
    role = connection.execute("SELECT rolname FROM pg_roles WHERE oid = %s", [grantee]).fetchone()
    connection.execute(
        sql.SQL("GRANT {}{} ON {} TO {}{}").format(
            sql.SQL(privilege),
            sql.SQL(" ({})").format(sql.Identifier(column)) if column is not None else sql.SQL(""),
            view.identifier,
            sql.Identifier(role[0]) if role else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION" if grantable else ""),
        )
    )
