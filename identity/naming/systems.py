"""How each system names its things, as values. The functions know no system by its name, but for the namespaces of Glue
and Spanner, which are no URLs: openlineage.py reads and writes these two.

A key has three places, source, schema and table; `levels` says what a system calls them. What an engine does to the
case of a reference is its own rule, and `documented` says where that rule is written. Nothing is folded anywhere else.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from identity.errors import InvalidKey

Level = Literal["source", "schema", "table"]
LEVELS: Final[tuple[Level, ...]] = ("source", "schema", "table")


class Fold(StrEnum):
    """What an engine does to the case of a name that stands in a statement."""

    LOWER = "lower"
    """Writes it in lower case."""
    UPPER = "upper"
    """Writes it in upper case."""
    EXACT = "exact"
    """Nothing: names that differ in case are two."""
    CASELESS = "caseless"
    """Keeps the spelling and compares without case: a reference must be spelled as the catalog spells it."""
    CONFIGURED = "configured"
    """A setting or a collation of the server decides: as CASELESS, unless the caller knows the setting."""


class Naming(StrEnum):
    """How the text of a reference is read."""

    IDENTIFIERS = "identifiers"
    """Parts with dots between them, each bare or in quotes."""
    VERBATIM = "verbatim"
    """One name, byte for byte: an object's key, a topic."""
    POSIX = "posix"
    """An absolute path: `//` and `/./` and a `/` at the end say nothing, `..` is refused."""
    ASSET_KEY = "asset key"
    """A JSON list of strings, as Dagster stores its asset keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How long a name of a system can be: the longer ones it cuts off without a word, or refuses."""

    longest: int
    of: Literal["bytes", "characters"]
    documented: str
    """Where that is written."""
    cuts: bool = False
    """Takes the start of a longer name for the name; a character of several bytes is kept or dropped whole."""
    levels: tuple[Level, ...] = LEVELS


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of connection URLs that decides where the server is, by its name in lower case."""

    name: str
    says: Literal["host", "default", "region", "port", "instance", "elsewhere"]
    """A `default` is the host where the URL has none, a `region` belongs to a host that is one word. `elsewhere`: what
    is not in the URL says where the server is."""
    host: str = "{}"
    """The host, of what the parameter says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The naming rules of one system. A setting of one server is told with `dataclasses.replace(system, fold=…)`."""

    name: str
    levels: tuple[str | None, str | None, str]
    """What the system calls source, schema and table; None where it has no such level."""
    documented: str
    """Where its rules are written."""
    scheme: str = ""
    """What `Authority.system` is for its URLs; the name when it is not given."""
    also: tuple[str, ...] = ()
    """Other names it goes by."""
    default_source: str | None = None
    default_schema: str | None = None
    may_lack: frozenset[Level] = frozenset()
    """Levels that a key of this system may leave absent although the system has them."""
    hosts: tuple[tuple[str, str], ...] = ()
    """Hosts, or with a dot in front ends of hosts, that mean the same: as others write them, and as we do."""
    local: bool = False
    """It may be reached by a socket or is a file, so that a URL of it may have no host."""
    embedded: bool = False
    """Each of its databases is a file: a URL of it names the file, and no server."""
    hyphens: bool = False
    """An underscore in what its host is called is a hyphen in the host."""
    parameters: tuple[Parameter, ...] = ()
    """What in its URLs says where the server is, besides the host and port before the path."""
    between_parameters: str = ";"
    """What stands before a parameter, except where a ? starts a query."""
    several_hosts: bool = False
    """Its URLs may list hosts, with commas between them, each of which leads to all of it."""
    port: int | None = None
    """The port that URLs leave out. None as well when its drivers disagree."""
    naming: Naming = Naming.IDENTIFIERS
    fold: Fold = Fold.EXACT
    folds_quoted: bool = False
    """Quotes do not keep the case."""
    folds_ascii_only: bool = True
    """Letters outside ASCII keep their case."""
    columns: Fold | None = None
    """What it does to the case of columns in a statement, where that is not what it does to tables."""
    folded: tuple[Level, ...] = LEVELS
    one_case: tuple[tuple[Level, Fold], ...] = ()
    """Levels where no two names differ by case alone: written in this one, whoever says the name, quoted or not."""
    limit: Limit | None = None
    """None where its documentation has none, or one that depends on its version."""
    quotes: tuple[str, ...] = ()
    """Pairs of an opening and a closing quote. A closing one inside is doubled."""
    backslash: bool = False
    """A backslash inside quotes escapes, as in the string literals of the system."""
    dots_in_quotes: bool = False
    """A dot inside quotes separates as one outside does."""
    bare: str = "_"
    """What may stand outside quotes, besides ASCII letters and digits."""
    bare_unicode: bool = False
    """Everything outside ASCII may stand outside quotes, too."""
    encoded: bool = False
    """Paths are percent-encoded in its URLs."""
    rooted: bool = True
    """A path starts with a slash; not where it starts below a container."""
    domains: bool = False
    """A source may stand in a domain: example.com:my-project."""
    everywhere: bool = False
    """There is one of it in the world: its names are unique without a host."""
    streams: bool = False
    """Its things are streams of messages, neither tables nor files."""
    alone: bool = False
    """Its name alone is a namespace of OpenLineage: of the one in the world, or of the machine at hand."""
    namespace: str | None = None
    """The namespace OpenLineage gives it, over {server}, {host}, {source}, {schema}; None when it has no such name."""
    dataset: str = ""
    """The name OpenLineage gives a dataset of it, over {source}, {schema}, {table}."""

    def __post_init__(self) -> None:
        if not self.scheme:
            object.__setattr__(self, "scheme", self.name)

    @property
    def for_columns(self) -> "System":
        """The rules of the names of columns, at the level of a table."""
        if self.columns is None:
            return self
        above = tuple((level, fold) for level, fold in self.one_case if level != "table")
        return replace(self, fold=self.columns, one_case=above)

    @property
    def used(self) -> tuple[Level, ...]:
        """The levels this system has."""
        return tuple(level for level, called in zip(LEVELS, self.levels, strict=True) if called is not None)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The names OpenLineage gives a dataset: with everything it has, then without a level that it may lack."""
        shorter = (self.dataset.replace(f"{{{level}}}.", "") for level in LEVELS if level in self.may_lack)
        return tuple(dict.fromkeys((self.dataset, *shorter)))

    def called(self, level: Level) -> str:
        """What the system calls a level."""
        return self.levels[LEVELS.index(level)] or level


class UnknownSystem(InvalidKey):
    """not a system whose naming rules are known, {reason}: {value!r}; {fix}"""
