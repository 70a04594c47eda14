"""Which process runs which tests: files go to whoever is free, and all files of some folders to the same process."""

from xdist.scheduler import LoadFileScheduling

TOGETHER = ("tests/flights",)
"""Folders whose files share a set-up that takes longer than most of their tests."""


class ByFileOrFolder(LoadFileScheduling):
    """`--dist loadfile`, but for the folders that stay together."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)
