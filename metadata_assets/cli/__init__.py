"""`metadata-assets …`: the command line."""

from metadata_assets.cli.boundary import main

__all__ = ["main"]
