"""Dagster's asset keys: lists of names. The form with slashes is for people: two lists may look the same in it."""

from dataclasses import dataclass

from identity.external.names import inexpressible, invalid, sure
from identity.keys import CanonicalKey, Kind, dataset_key, refuse_credentials
from identity.naming.references import InvalidReference, asset_name, asset_path


@dataclass(frozen=True, slots=True)
class DagsterAssets:
    """The assets of a Dagster installation, by `AssetKey.path` as a tuple; as text they are its JSON list."""

    endpoint: str = "dagster"

    def name_of(self, key: CanonicalKey) -> tuple[str, ...]:
        if key.kind is not Kind.DATASET or key.namespace != self.endpoint or key.segments[:2] != (None, None):
            raise inexpressible(key, f"it is no asset at {self.endpoint}", "give the key of an asset")
        try:
            path = asset_path(key.table) if key.table.startswith("[") else (key.table,)
        except InvalidReference:
            path = (key.table,)
        return sure(path, key, self)

    def key_of(self, name: tuple[str, ...]) -> CanonicalKey:
        if not isinstance(name, tuple) or not name or not all(isinstance(step, str) for step in name):
            raise invalid(
                type(name).__name__, "it is not the path of an asset key", 'give a tuple of names: ("sales", "orders")'
            )
        for step in name:
            refuse_credentials(step, InvalidReference)
        return dataset_key(self.endpoint, table=asset_name(name))

    def key_of_text(self, text: str) -> CanonicalKey:
        """The key of what Dagster stores: a JSON list. Raises InvalidReference for the form with slashes."""
        return self.key_of(asset_path(text))
