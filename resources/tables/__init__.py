"""Materializations as tables of a PostgreSQL in the data plane, and the views that show the published ones."""
