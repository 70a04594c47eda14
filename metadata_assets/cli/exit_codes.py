"""How a command tells a script what happened."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The codes of every command. A MetadataError carries its own, out of these."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    NOT_FOUND = 3
    UNUSABLE = 4
    PARTIAL = 5
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed; nothing half-written",
    ExitCode.BAD_INPUT: "the command line, the project or a setting is wrong",
    ExitCode.NOT_FOUND: "there is no such key, endpoint, materialization or tenant",
    ExitCode.UNUSABLE: "a database or a server cannot be used",
    ExitCode.PARTIAL: "done in part: the gaps are listed",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
}
