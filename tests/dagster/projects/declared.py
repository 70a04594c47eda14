"""The project of YAML files that METADATA_PROJECT names."""

import os
from pathlib import Path

from metadata_assets import code_location, load_project

defs = code_location(load_project(Path(os.environ["METADATA_PROJECT"])))
