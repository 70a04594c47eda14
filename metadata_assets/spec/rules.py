"""What data must be like: the rules of contracts, each with its words for people."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from identity.keys import CanonicalKey, short_name


@dataclass(frozen=True, slots=True)
class NotNull:
    """No value is null."""

    column: str

    def __str__(self) -> str:
        return f"{self.column} is never null."


@dataclass(frozen=True, slots=True)
class Unique:
    """No value but null is there twice, within a partition; or in all of them, `across` partitions."""

    column: str
    across: bool = False

    def __str__(self) -> str:
        return f"No {self.column} is there twice{'' if self.across else ' in a partition'}."


@dataclass(frozen=True, slots=True)
class Accepted:
    """Every value but null is one of these, as they are written."""

    column: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.values) - 10} more" if len(self.values) > 10 else ""
        return f"{self.column} is one of {', '.join(self.values[:10])}{more}."


@dataclass(frozen=True, slots=True)
class Related:
    """Every value but null is in a column of another dataset, as it is published or pinned."""

    column: str
    key: CanonicalKey
    other: str

    def __str__(self) -> str:
        return f"Every {self.column} is in {short_name(self.key)}.{self.other}."


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The table has the declared columns with their declared types; None is any type."""

    columns: tuple[tuple[str, str | None], ...]
    others: bool

    def __str__(self) -> str:
        return f"It has the declared columns{'' if self.others else ' and no others'}, with their types."


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCount:
    """So many rows in a partition, and so much less or more than what is published of it (0.5 is 50 %)."""

    least: int | None
    most: int | None
    fall: Decimal | None
    rise: Decimal | None

    def __str__(self) -> str:
        bounds = [
            *([] if self.least is None else [f"at least {self.least:,} rows"]),
            *([] if self.most is None else [f"at most {self.most:,} rows"]),
            *([] if self.fall is None else [f"at most {self.fall:.0%} fewer than published"]),
            *([] if self.rise is None else [f"at most {self.rise:.0%} more than published"]),
        ]
        return f"A partition has {', '.join(bounds)}."


@dataclass(frozen=True, slots=True)
class Fresh:
    """The newest value is at most so old, or so long before the end of its partition."""

    column: str
    within: timedelta

    def __str__(self) -> str:
        return f"The newest {self.column} is at most {self.within} old, or before the end of its partition."


Rule = NotNull | Unique | Accepted | Related | TableColumns | RowCount | Fresh
