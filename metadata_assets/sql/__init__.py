"""Datasets that are one SELECT: checked, computed by DuckDB, with the lineage of their columns."""
