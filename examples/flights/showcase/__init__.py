"""What `metadata-assets demo` shows of this project, one act to a file. `../demo.py` calls them in order."""
