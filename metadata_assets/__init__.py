"""HOW does it run? The Dagster plugin."""
