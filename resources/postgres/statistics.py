"""Statistics of tables that are filled for the first time: what is planned without any gets slow as they grow."""

from typing import Final

from resources.postgres.session import Session

MANY: Final = 500
"""From how many new rows on they are worth their time."""

_TAKE_STOCK = "SELECT metadata.take_stock(%(tables)s)"


def take_stock(session: Session, *tables: str) -> None:
    """Make statistics of the tables that have none, in the session's transaction."""
    session.rows(_TAKE_STOCK, {"tables": list(tables)})
