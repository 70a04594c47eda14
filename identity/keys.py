"""Canonical keys: the deterministic, secret-free names of things. Grammar `mid1`.

    mid1:<kind>:<namespace>[:<segment>/<segment>/…]

    mid1:endpoint:jfk
    mid1:dataset:jfk:flights/public/flights       source, schema, table
    mid1:dataset:lake:~/~/daily_delays            no source, no schema
    mid1:job:warehouse-eu:nightly_load
    mid1:dashboard:looker:revenue
    mid1:dataset:jfk:flights/public/flights#dep_delay    a column: a ColumnKey, and no CanonicalKey

- The namespace is the slug of an endpoint. A kind with segments always writes all of them; one without ends there.
- In a segment `[A-Za-z0-9_.-]` stand for themselves, every other byte of its UTF-8 is `%XX` with upper-case digits.
  A segment that is exactly `.` or `..` is encoded too, so that a key is safe as a path.
- `~` alone is an absent segment, `%` alone is the empty string.

So format and parse are inverse, and two different things never share a key. Nothing is folded or normalised: case and
NFC/NFD differ because they differ in the systems that the names come from. The grammar never changes; another one
gets another prefix.
"""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import total_ordering
from typing import Self, assert_never
from urllib.parse import unquote_to_bytes

from identity.credentials import holds_credential
from identity.errors import WITHHELD, InvalidEndpoint, InvalidKey
from identity.kept import kept

PREFIX = "mid1"
MAX_KEY_BYTES = 1500

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ENCODED_SEGMENT = re.compile(r"(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_WRITTEN = [chr(byte) if re.match(rb"[A-Za-z0-9_.-]", bytes([byte])) else f"%{byte:02X}" for byte in range(256)]
_ABSENT, _EMPTY = "~", "%"
_DOTS = {".": "%2E", "..": "%2E%2E"}  # "." and ".." are raw characters but mean something else in paths and URLs


class Kind(StrEnum):
    """What a key can name. Tables, views, files, topics, assets are datasets; a column hangs off its dataset's id."""

    ENDPOINT = "endpoint"
    DATASET = "dataset"
    JOB = "job"
    DASHBOARD = "dashboard"

    @property
    def arity(self) -> int:
        """How many segments a key of this kind has, absent ones included."""
        match self:
            case Kind.ENDPOINT:
                return 0
            case Kind.DATASET:
                return 3
            case Kind.JOB | Kind.DASHBOARD:
                return 1
        assert_never(self)


_KINDS = {str(kind): kind for kind in Kind}


@total_ordering
@dataclass(frozen=True, slots=True)
class CanonicalKey:
    """The name of one thing, computable offline by anyone who knows what the thing is called.

    `str(key)` is its text, `CanonicalKey.parse(text)` the way back. In `segments`, None is absent and "" is empty.
    The last segment, the thing's own name, cannot be absent. Keys are ordered by their text. Raises InvalidKey.
    """

    kind: Kind = field(compare=False)
    namespace: str = field(compare=False)
    segments: tuple[str | None, ...] = field(compare=False)
    _text: str = field(init=False, repr=False)
    """Made once: keys are compared and written by the hundred thousand."""

    def __post_init__(self) -> None:
        _check_types(self)
        check_slug(self.namespace)
        _check_segments(self.kind, self.segments)
        head = f"{PREFIX}:{self.kind}:{self.namespace}"
        text = f"{head}:{'/'.join(map(_encode, self.segments))}" if self.segments else head
        object.__setattr__(self, "_text", text)
        if len(text) > MAX_KEY_BYTES:  # the text is ASCII: characters are bytes
            raise InvalidKey(
                value=text,
                reason=f"it takes {len(text)} bytes and may take {MAX_KEY_BYTES}",
                fix="use a shorter source, schema or name",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` is the canonical form of, byte for byte. Every other text is refused: InvalidKey."""
        prefix, kind, namespace, body = _split(text)
        if prefix != PREFIX:
            raise InvalidKey(value=text, reason=f"it does not start with {PREFIX}:", fix=_SHAPE)
        if kind not in _KINDS:
            raise InvalidKey(value=text, reason="its kind is unknown", fix=f"use one of {', '.join(Kind)}")
        segments = () if body is None else tuple(_decode(part, text) for part in body.split("/"))
        return cls(_KINDS[kind], namespace, segments)

    @property
    def endpoint(self) -> str:
        return self.namespace

    @property
    def source(self) -> str | None:
        """The database or catalog of a dataset; None when its system has none."""
        return self._of_dataset()[0]

    @property
    def schema(self) -> str | None:
        """The schema of a dataset; None when its system has none."""
        return self._of_dataset()[1]

    @property
    def table(self) -> str:
        """The own name of a dataset: a table, a view, a file."""
        return self._of_dataset()[2]

    def _of_dataset(self) -> tuple[str | None, str | None, str]:
        match self.kind, self.segments:
            case Kind.DATASET, (source, schema, str(table)):
                return source, schema, table
        raise AttributeError(f"a key of kind {self.kind} has no source, schema and table")

    def __str__(self) -> str:
        return self._text

    def __lt__(self, other: object) -> bool:
        return str(self) < str(other) if isinstance(other, CanonicalKey) else NotImplemented


@total_ordering
@dataclass(frozen=True, slots=True)
class ColumnKey:
    """The name of one column: the key of its dataset, and its own name as the system spells it.

    `str(key)` is `<key of the dataset>#<name>`, which no CanonicalKey is, for a # in a name is %23 there;
    `ColumnKey.parse(text)` is the way back. A column has no entity of its own: its id is a child of its dataset's *id*
    (`identity.ids.column_id`), so it stays when the dataset is renamed. Raises InvalidKey.
    """

    dataset: CanonicalKey
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, CanonicalKey) or not isinstance(self.name, str):
            raise TypeError("a ColumnKey is the CanonicalKey of a dataset and the name of a column")
        if self.dataset.kind is not Kind.DATASET:
            raise InvalidKey(
                value=str(self.dataset), reason=f"a {self.dataset.kind} has no columns", fix="give the key of a dataset"
            )
        check_name(self.name)
        if len(_encode(self.name)) > MAX_KEY_BYTES:
            fix = f"use a name of at most {MAX_KEY_BYTES} bytes"
            raise InvalidKey(value=self.name, reason="the name of the column is too long", fix=fix)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` is the canonical form of, byte for byte. Every other text is refused: InvalidKey."""
        dataset, hash_, name = text.partition("#")
        column = _decode(name, text) if hash_ else None
        if column is None:
            fix = "write a # and the name of the column after the key of its dataset"
            raise InvalidKey(value=text, reason="it names no column", fix=fix)
        return cls(CanonicalKey.parse(dataset), column)

    def __str__(self) -> str:
        return f"{self.dataset}#{_encode(self.name)}"

    def __lt__(self, other: object) -> bool:
        return str(self) < str(other) if isinstance(other, ColumnKey) else NotImplemented


def endpoint_key(slug: str) -> CanonicalKey:
    """The key of a registered system instance. Raises InvalidEndpoint."""
    return CanonicalKey(Kind.ENDPOINT, slug, ())


def dataset_key(endpoint: str, *, table: str, schema: str | None = None, source: str | None = None) -> CanonicalKey:
    """The key of a table, view or file with its names exactly as the system spells them. Raises InvalidKey."""
    return CanonicalKey(Kind.DATASET, endpoint, (source, schema, table))


def job_key(endpoint: str, name: str) -> CanonicalKey:
    """The key of something that runs at an endpoint: a job, the operation behind an asset. Raises InvalidKey."""
    return CanonicalKey(Kind.JOB, endpoint, (name,))


def key_text(key: CanonicalKey) -> str:
    """A key as it is stored; TypeError for anything else, an identity node included."""
    if not isinstance(key, CanonicalKey):
        raise TypeError("a key is a CanonicalKey; a text becomes one by CanonicalKey.parse(text)")
    return str(key)


def short_name(key: CanonicalKey | ColumnKey) -> str:
    """What people call it: jfk/public/flights, jfk/public/flights#carrier; the full key where that could be read in
    another way.

    Not an identity: several sources of an endpoint may share it.
    """
    if isinstance(key, ColumnKey):
        written = f"{short_name(key.dataset)}#{key.name}"
        plain = key.name and written.count("#") == 1 and not written.startswith(f"{PREFIX}:")
        return written if plain else str(key)
    if key.kind is not Kind.DATASET:
        return str(key)
    parts = [part for part in (key.endpoint, key.schema, key.table) if part is not None]
    return "/".join(parts) if all(part and "/" not in part for part in parts) else str(key)


def dashboard_key(endpoint: str, name: str) -> CanonicalKey:
    """The key of a dashboard or report of a BI tool, by the id that the tool never changes. Raises InvalidKey."""
    return CanonicalKey(Kind.DASHBOARD, endpoint, (name,))


def key_at(key: CanonicalKey, endpoint: str) -> CanonicalKey:
    """The key of what is called so at another endpoint. Raises InvalidEndpoint."""
    return replace(key, namespace=endpoint)


def check_slug(slug: str, error: type[InvalidKey] = InvalidEndpoint) -> None:
    """Raises the error unless the slug is `[a-z0-9][a-z0-9_-]{0,62}`."""
    if not SLUG.fullmatch(slug):
        fix = "use 1 to 63 of a-z, 0-9, _ and -, starting with a letter or a digit, for example warehouse-eu"
        raise error(value=slug, reason="it is not a slug", fix=fix)


def check_name(name: str, error: type[InvalidKey] = InvalidKey) -> None:
    """Raises the error when the name cannot be stored as text, or looks like it carries a credential."""
    check_text(name, error)
    refuse_credentials(name, error)


def check_text(name: str, error: type[InvalidKey] = InvalidKey) -> None:
    """Raises the error when PostgreSQL cannot store the text: it has a NUL, or half of a surrogate pair."""
    if "\0" in name:
        raise error(value=name, reason="it contains the NUL character", fix="no system stores such a name: remove it")
    if not name.isascii() and _SURROGATE.search(name):
        fix = "it was decoded wrongly: read the name as UTF-8"
        raise error(value=name, reason="it contains a lone surrogate, which is not text", fix=fix)


def refuse_credentials(text: str, error: type[InvalidKey]) -> None:
    """Raises the error, which does not repeat the text, when the text says a credential, in whatever encoding."""
    if holds_credential(text):
        fix = "name the table, file, topic or job, not the connection to it"
        raise error(value=WITHHELD, reason="it looks like a connection with a credential", fix=fix)


_SHAPE = f"a key is {PREFIX}:<kind>:<endpoint>:<segments>, for example {PREFIX}:dataset:jfk:flights/public/flights"


def _check_types(key: CanonicalKey) -> None:
    """A programming error, hence TypeError: a list or a plain string would make a key that equals no parsed one."""
    if not isinstance(key.kind, Kind) or not isinstance(key.namespace, str) or not isinstance(key.segments, tuple):
        raise TypeError("a CanonicalKey is a Kind, an endpoint slug and a tuple of segments")
    if not all(segment is None or isinstance(segment, str) for segment in key.segments):
        raise TypeError("the segments of a CanonicalKey are str, or None when absent")


def _check_segments(kind: Kind, segments: tuple[str | None, ...]) -> None:
    for segment in segments:
        _check_segment(segment or "")
    if len(segments) != kind.arity:
        raise InvalidKey(
            value="/".join(map(_encode, segments)),
            reason=f"a key of kind {kind} has {kind.arity} segments, not {len(segments)}",
            fix=f"write an absent one as {_ABSENT}" if kind.arity else "end the key after the endpoint",
        )
    if segments and segments[-1] is None:
        name = "/".join(map(_encode, segments))
        raise InvalidKey(value=name, reason="its own name is absent", fix="only a source or a schema can be absent")


@kept(1024)  # thousands of tables are in one schema
def _check_segment(segment: str) -> None:
    check_name(segment)


@kept(1024)
def _encode(segment: str | None) -> str:
    if segment is None:
        return _ABSENT
    if not segment:
        return _EMPTY
    plain = _PLAIN.fullmatch(segment)
    encoded = segment if plain else "".join(map(_WRITTEN.__getitem__, segment.encode()))
    return _DOTS.get(encoded, encoded)


def _decode(encoded: str, text: str) -> str | None:
    """The inverse of `_encode`; what `_encode` would not have written is refused, as a part of `text`."""
    if encoded == _ABSENT:
        return None
    if encoded == _EMPTY:
        return ""
    if _PLAIN.fullmatch(encoded) and encoded not in _DOTS:
        return encoded
    if not _ENCODED_SEGMENT.fullmatch(encoded):
        raise InvalidKey(value=text, reason="a segment is not encoded canonically", fix=_ENCODING)
    segment = decoded_utf8(encoded)
    if segment is None:
        raise InvalidKey(value=text, reason="a segment does not decode to UTF-8", fix=_ENCODING)
    if _encode(segment) != encoded:
        raise InvalidKey(value=text, reason="a segment is not encoded canonically", fix=_ENCODING)
    return segment


_ENCODING = (
    "letters, digits, _, . and - stand for themselves, every other byte of UTF-8 is %XX in upper case, "
    f"{_ABSENT} is absent, {_EMPTY} is empty"
)


def decoded_utf8(encoded: str) -> str | None:
    """The text that is percent-encoded so; None when its bytes are no UTF-8."""
    try:
        return unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeDecodeError:  # its text would repeat the bytes: the caller answers outside of this block
        return None


def _split(text: str) -> tuple[str, str, str, str | None]:
    match text.split(":"):
        case [prefix, kind, namespace]:
            return prefix, kind, namespace, None
        case [prefix, kind, namespace, body]:
            return prefix, kind, namespace, body
    raise InvalidKey(value=text, reason="it does not have the parts of a key", fix=_SHAPE)
