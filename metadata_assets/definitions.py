"""The code location that workspace.yaml names: the project in METADATA_PROJECT, else the flights example."""

import os
from pathlib import Path

from metadata_assets.location import code_location
from metadata_assets.spec import load_project
from resources.settings import Settings

settings = Settings.from_env(os.environ, cwd=Path.cwd())
defs = code_location(load_project(settings.project, environment=settings.environment))
