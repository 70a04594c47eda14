"""What Dagster knows, told to the canonical graph."""
