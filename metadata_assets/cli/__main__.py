"""`python -m metadata_assets.cli`, for where the script is not on the PATH."""

import sys

from metadata_assets.cli.boundary import main

sys.exit(main())
