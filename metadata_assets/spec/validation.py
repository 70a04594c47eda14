"""From a value of a file to its model, or to problems that say where, which field and what to do.

pydantic's own messages never get out: they repeat what was written, which may be a secret.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from identity.errors import shown
from metadata_assets.spec import texts
from metadata_assets.spec.problems import Path, Problem, did_you_mean, field_name
from metadata_assets.spec.yaml_source import Source, Value

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], source: Source, value: Value, path: Path = ()) -> tuple[Model | None, list[Problem]]:
    """The value at `path` of a file as its model. None when it does not fit, with every reason."""
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=True)
    return None, [_problem(model, source, path, detail) for detail in details]


def _problem(model: type[BaseModel], source: Source, path: Path, detail: ErrorDetails) -> Problem:
    inner = detail["loc"][:-1] if detail["loc"][-1:] == ("[key]",) else detail["loc"]
    place = (*path, *inner)
    by_name = inner != detail["loc"] or detail["type"] == "extra_forbidden"
    reason, fix = _words(model, detail, inner)
    return Problem(source.key_at(place) if by_name else source.at(place), field_name(place), reason, fix)


def _words(model: type[BaseModel], detail: ErrorDetails, path: Path) -> tuple[str, str]:
    """Reason and fix. Only names of fields and values of closed sets are repeated."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case texts.REFUSED:
            return _with_value(context["reason"], detail["input"]), context["fix"]
        case texts.REFUSED_UNSEEN:
            return context["reason"], context["fix"]
        case "missing":
            return "it is missing", f"add `{path[-1]}: …`"
        case "extra_forbidden":
            return "there is no such field here", did_you_mean(str(path[-1]), _fields(model, path[:-1]))
        case "literal_error":
            allowed = _literals(model, path)
            return _with_value("it is not one of the choices", detail["input"]), did_you_mean(
                str(detail["input"]), allowed
            )
        case kind:
            written = _WRITTEN.get(type(detail["input"]), "something else")
            expected = next((words for start, words in _EXPECTED.items() if kind.startswith(start)), _OTHER)
            return f"{expected[0]} belongs here, not {written}", expected[1]


_WRITTEN: Mapping[type, str] = {type(None): "nothing", str: "a text", list: "a list", dict: "a mapping"}
_EXPECTED: Mapping[str, tuple[str, str]] = {
    "string": ("a text", "write one in the same line, in quotes if it begins with { or ["),
    "bool": ("true or false", "write true or false"),
    "int": ("a whole number", "write digits alone"),
    "greater_than": ("a larger number", "write a larger one"),
    "tuple": ("a list", "write [one, two], or a line `- one` for each"),
    "dict": ("a mapping of names", "write a line `name: …` for each"),
    "model": ("a mapping of fields", "write a line `field: …` for each"),
}
_OTHER = ("another value", "look it up in docs/project.md")


def _with_value(reason: str, value: object) -> str:
    return f"{reason}: {shown(value)!r}" if isinstance(value, str) else reason


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """The names of the fields that the mapping at `path` may have."""
    annotation = _annotation(model, path)
    inner = next((hint for hint in _parts(annotation) if isinstance(hint, type) and issubclass(hint, BaseModel)), None)
    return [field.alias or name for name, field in inner.model_fields.items()] if inner else []


def _literals(model: type[BaseModel], path: Path) -> Sequence[str]:
    return [part for part in _parts(_annotation(model, path)) if isinstance(part, str)]


def _annotation(model: type[BaseModel], path: Path) -> Any:
    """The annotation of what stands at `path`."""
    annotation: Any = model
    for step in path:
        inner = [hint for hint in _parts(annotation) if isinstance(hint, type) and issubclass(hint, BaseModel)]
        if not inner or isinstance(step, int):  # an item of a list has the annotation of the list
            continue
        by_alias = {field.alias or name: field.annotation for name, field in inner[0].model_fields.items()}
        annotation = by_alias.get(step, annotation)
    return annotation


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) is not None:
        for part in get_args(annotation):
            yield from _parts(part)
