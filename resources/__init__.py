"""WHAT do we know? Stores on PostgreSQL and the files that datasets are made of."""
