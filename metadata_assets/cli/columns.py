"""`identity show` of one column, by any name that its dataset and it have or had."""

from identity.errors import InvalidKey
from identity.keys import CanonicalKey, ColumnKey, refuse_credentials, short_name
from metadata_assets.cli.context import Cli
from metadata_assets.cli.exit_codes import ExitCode
from metadata_assets.cli.naming import is_key
from metadata_assets.cli.output import facts
from resources.metadata.assets import UnknownKey
from resources.metadata_store import MetadataStore
from resources.models import StoredColumn


def names_column(name: str) -> bool:
    """Whether a name can be one of a column: a # stands before its own name."""
    return "#" in name


def column_as_written(store: MetadataStore, name: str) -> ColumnKey | CanonicalKey:
    """What a name with a # in it means: a dataset that is called so, else the column after the last #.

    Raises UnknownKey, AmbiguousKey, InvalidKey.
    """
    if is_key(name):
        return ColumnKey.parse(name)
    dataset, _, column = name.rpartition("#")
    try:
        return store.resolve(name)
    except UnknownKey:
        refuse_credentials(name, InvalidKey)  # a part of it may look harmless
        return ColumnKey(store.resolve(dataset), column)


def show_column(cli: Cli, column: StoredColumn, asked: ColumnKey) -> ExitCode:
    answer = {
        "name": short_name(column.key),
        "key": str(column.key),
        "id": column.id,
        "asked": str(asked),
        "dataset": column.key.dataset,
        "column": column.key.name,
        "type": column.field.type,
        "former_names": column.former_names,
        "gone": not column.open,
    }
    shown = {
        "key": str(column.key),
        "id": column.id,
        "type": column.field.type,
        "was called": ", ".join(column.former_names),
        "gone": None if column.open else "its source has it no more",
    }
    cli.show(answer, facts(short_name(column.key), shown))
    return ExitCode.OK
