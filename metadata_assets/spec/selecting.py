"""Which datasets somebody means: `+orders`, `orders+2`, `@orders`, `tag:daily,group:sales`, `state:modified+`."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar, Final

from identity.errors import MetadataError, shown
from identity.keys import CanonicalKey, short_name
from metadata_assets.spec.fingerprints import PARTS
from metadata_assets.spec.manifest import Manifest
from metadata_assets.spec.problems import did_you_mean
from metadata_assets.spec.project import Dataset, Project

Keys = frozenset[CanonicalKey]


class NotASelection(MetadataError):
    """{term} selects nothing: {reason}; {fix}"""

    term: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2


class NothingSelected(MetadataError):
    """the project {project} has no {what} {value} to select; {fix}"""

    project: str
    what: str
    value: str
    fix: str
    exit_code: ClassVar[int] = 3


_TERM = re.compile(r"(?P<at>@)?(?:(?P<up>\d*)(?P<has_up>\+))?(?P<body>[^+@\s,]+)(?:(?P<has_down>\+)(?P<down>\d*))?")
STATES: Final = ("new", "modified", "unmodified")


def selected(
    project: Project, select: Sequence[str], exclude: Sequence[str] = (), state: Manifest | None = None
) -> tuple[Dataset, ...]:
    """The datasets that one of `select` means (all without any) and none of `exclude`, in the order of the project.

    Raises NotASelection for what is not understood, NothingSelected for a name that nothing has.
    """
    choosing = _Choosing(project, state)
    wanted = choosing.any_of(select) if select else choosing.own
    left = wanted - choosing.any_of(exclude)
    return tuple(one for one in project.datasets if one.key in left)


@dataclass(slots=True)
class _Choosing:
    project: Project
    state: Manifest | None

    @property
    def own(self) -> Keys:
        return frozenset(self.project.datasets_by_key)

    def any_of(self, expressions: Iterable[str]) -> Keys:
        """Blanks join: what one or the other means."""
        unions = [one for text in expressions for one in text.split()]
        return frozenset().union(*(self._all_of(one) for one in unions)) & self.own

    def _all_of(self, text: str) -> Keys:
        """Commas intersect: what each of them means."""
        terms = [self._term(one) for one in text.split(",")]
        return frozenset.intersection(*terms)

    def _term(self, text: str) -> Keys:
        found = _TERM.fullmatch(text)
        if found is None or (found["at"] and (found["has_up"] or found["has_down"])):
            fix = "write name, +name, name+2, @name, tag:x or state:modified, joined by blanks (or) and commas (and)"
            raise NotASelection(term=repr(shown(text)), reason="it is not understood", fix=fix)
        start = self._meant(found["body"])
        reached = set(start)
        if found["at"]:
            below = start | self._walked(start, self._downstream(), None)
            return frozenset(below | self._walked(below, self._upstream(), None))
        if found["has_up"]:
            reached |= self._walked(start, self._upstream(), found["up"])
        if found["has_down"]:
            reached |= self._walked(start, self._downstream(), found["down"])
        return frozenset(reached)

    def _meant(self, body: str) -> Keys:
        method, colon, value = body.partition(":")
        if not colon or method == "mid1":
            return self._named(body)
        if method not in _METHODS:
            near = did_you_mean(method, [*_METHODS, "state", "source"])
            raise NotASelection(term=repr(shown(body)), reason=f"there is no method {shown(method)!r}", fix=near)
        return _METHODS[method](self, value)

    def _named(self, name: str) -> Keys:
        return self._having("dataset", name, lambda one: (one.name, short_name(one.key), str(one.key)))

    def _having(self, what: str, value: str, of: Callable[[Dataset], Collection[str]]) -> Keys:
        """The datasets of which one of these texts is `value`, where * stands for anything."""
        found = frozenset(one.key for one in self.project.datasets if any(fnmatchcase(text, value) for text in of(one)))
        if found:
            return found
        known = sorted({text for one in self.project.datasets for text in of(one) if not text.startswith("mid1:")})
        fix = did_you_mean(value, known) if known else "no dataset has one"
        raise NothingSelected(project=self.project.name, what=what, value=shown(value), fix=fix)

    def by_file(self, value: str) -> Keys:
        def files(one: Dataset) -> list[str]:
            named = [one.at.file, *([one.sql.file] if one.sql else [])]
            return [part for name in named for part in _with_folders(name)]

        return self._having("file", value.rstrip("/"), files)

    def by_source(self, value: str) -> Keys:
        """Tables of a source; with a + behind, what is made of them."""
        found = frozenset(
            key for key in self.project.sources if fnmatchcase(short_name(key), value) or key.endpoint == value
        )
        if found:
            return found
        known = [short_name(key) for key in self.project.sources]
        raise NothingSelected(
            project=self.project.name, what="source", value=shown(value), fix=did_you_mean(value, known)
        )

    def by_state(self, value: str) -> Keys:
        kind, dot, part = value.partition(".")
        if kind not in STATES or (dot and (kind != "modified" or part not in PARTS)):
            known = [*STATES, *(f"modified.{one}" for one in PARTS)]
            raise NotASelection(
                term=f"state:{shown(value)}", reason="there is no such state", fix=did_you_mean(value, known)
            )
        if self.state is None:
            fix = "name a manifest with --state FILE, as `metadata-assets compile --manifest FILE` writes it"
            raise NotASelection(term=f"state:{value}", reason="nothing says what was before", fix=fix)
        now, before = Manifest.of(self.project), self.state
        match kind:
            case "new":
                return self.own - before.datasets.keys()
            case "unmodified":
                return frozenset(key for key in self.own if not now.changed(key, before))
            case _:
                parts = {part} if part else set(PARTS)
                return frozenset(key for key in self.own if now.changed(key, before) & parts)

    def _upstream(self) -> Mapping[CanonicalKey, Set[CanonicalKey]]:
        return {one.key: {dep.key for dep in one.depends_on} for one in self.project.datasets}

    def _downstream(self) -> Mapping[CanonicalKey, Set[CanonicalKey]]:
        makes: dict[CanonicalKey, set[CanonicalKey]] = {}
        for key, needed in self._upstream().items():
            for one in needed:
                makes.setdefault(one, set()).add(key)
        return makes

    @staticmethod
    def _walked(
        start: Set[CanonicalKey], ways: Mapping[CanonicalKey, Set[CanonicalKey]], steps: str | None
    ) -> set[CanonicalKey]:
        """What is reached in so many steps; to the end without a number."""
        reached: set[CanonicalKey] = set()
        last: Set[CanonicalKey] = start
        left = int(steps) if steps else len(ways) + 1
        while last and left:
            last = {there for one in last for there in ways.get(one, ())} - reached
            reached |= last
            left -= 1
        return reached


def _with_folders(file: str) -> list[str]:
    parts = file.split("/")
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _kinds(one: Dataset) -> Collection[str]:
    return ("sql" if one.sql else "python", "table" if one.key.source else "files")


_METHODS: Mapping[str, Callable[[_Choosing, str], Keys]] = {
    "name": _Choosing._named,
    "tag": lambda of, value: of._having("tag", value, lambda one: one.tags),
    "group": lambda of, value: of._having("group", value, lambda one: [one.group] if one.group else []),
    "owner": lambda of, value: of._having("owner", value, lambda one: one.owners),
    "kind": lambda of, value: of._having("kind", value, _kinds),
    "endpoint": lambda of, value: of._having("endpoint", value, lambda one: [one.key.endpoint]),
    "path": _Choosing.by_file,
    "source": _Choosing.by_source,
    "state": _Choosing.by_state,
}
