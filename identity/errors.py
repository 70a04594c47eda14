"""MetadataError, the root of all our errors, and the refusals of this package."""

import inspect
from string import Formatter
from typing import Any, ClassVar, dataclass_transform, get_origin

from identity.credentials import may_be_connection, part_holds_credential, scrub, scrubbed


@dataclass_transform(kw_only_default=True)
class MetadataError(Exception):
    """Something in the metadata of this project is wrong.

    A leaf is a small class: the first line of its docstring is the message, a template over its facts, and the facts
    are its annotations. They are given by keyword and readable as attributes; one with a default may be left out.

        class UnknownDataset(MetadataError):
            '''no dataset {key}; the nearest ones are {nearest}'''
            key: str
            nearest: list[str]

        raise UnknownDataset(key="jfk/public/flight", nearest=["jfk/public/flights"])

    Facts end up in terminals, logs and Dagster events: never put a driver's message into one. What looks like a
    credential in one is hidden here, for they repeat what people typed.
    A missing or an undeclared fact is a TypeError where the error is raised; a template over an undeclared fact is one
    where the class is defined. Errors pickle, so they cross process boundaries with their facts.
    """

    exit_code: ClassVar[int] = 1
    _facts: ClassVar[tuple[str, ...]] = ()
    _template: ClassVar[str] = "something in the metadata of this project is wrong"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = [name for name, hint in inspect.get_annotations(cls).items() if not _is_class_variable(hint)]
        cls._facts = tuple(dict.fromkeys([*cls._facts, *declared]))
        if cls.__doc__:  # a leaf without one, and every leaf under `python -OO`, speaks with its parent's words
            cls._template = cls.__doc__.strip().splitlines()[0]
        unknown = _template_fields(cls._template) - set(cls._facts)
        if unknown:
            raise TypeError(f"{cls.__name__}: the message names {sorted(unknown)}, which are not annotated as facts")

    def __init__(self, **facts: object) -> None:
        super().__init__()
        undeclared = set(facts) - set(self._facts)
        missing = {name for name in self._facts if name not in facts and not hasattr(type(self), name)}
        if undeclared or missing:
            problem = f"undeclared facts {sorted(undeclared)}" if undeclared else f"missing facts {sorted(missing)}"
            raise TypeError(f"{type(self).__name__}: {problem}")
        vars(self).update(scrubbed(facts))

    @property
    def facts(self) -> dict[str, Any]:
        """What is known about this error, by name: the fields of a JSON answer or a log event."""
        return {name: getattr(self, name) for name in self._facts}

    def __str__(self) -> str:
        return scrub(self._template.format_map(self.facts))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self),), vars(self)


def _blank(leaf: type[MetadataError]) -> MetadataError:
    return leaf.__new__(leaf)


def _is_class_variable(hint: object) -> bool:
    if isinstance(hint, str):  # under `from __future__ import annotations`
        return hint.startswith(("ClassVar", "typing.ClassVar"))
    return hint is ClassVar or get_origin(hint) is ClassVar


def _template_fields(template: str) -> set[str]:
    names = (name for _, name, _, _ in Formatter().parse(template) if name is not None)
    return {name.partition(".")[0].partition("[")[0] for name in names}


WITHHELD = "<withheld, it may hold a credential>"
_LONGEST_SHOWN = 120


def shown(value: str) -> str:
    """The value as a message may repeat it: itself, shortened when long, or WITHHELD when it may hold a credential.

    Everything that could be a URL, a DSN or a key=value connection string is withheld, percent-encoded ones too.
    Showing twice changes nothing.
    """
    if may_be_connection(value):
        return WITHHELD
    return value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 1] + "…"


def repeatable(name: str) -> str:
    """A name of nothing, as a message may repeat it: itself, or WITHHELD when a part of it looks like a credential."""
    return WITHHELD if part_holds_credential(name) else name


class InvalidKey(MetadataError):
    """not a valid key, {reason}: {value!r}; {fix}"""

    value: str
    reason: str
    fix: str
    exit_code: ClassVar[int] = 2

    def __init__(self, *, value: str, reason: str, fix: str) -> None:
        super().__init__(value=shown(value), reason=reason, fix=fix)


class InvalidEndpoint(InvalidKey):
    """not a valid endpoint, {reason}: {value!r}; {fix}"""


class InvalidTenant(InvalidKey):
    """not a valid tenant, {reason}: {value!r}; {fix}"""


class InvalidIntent(InvalidKey):
    """not a valid intent, {reason}: {value!r}; {fix}"""


class InvalidUrl(MetadataError):
    """this connection URL cannot be used, {reason}; {fix} (the URL is not repeated here: it may hold a credential)"""

    reason: str
    fix: str
    exit_code: ClassVar[int] = 2
