"""Which store this is, for whoever remembers what it wrote or read there."""

from typing import Final

INCARNATION: Final = """concat_ws('/', %(tenant)s::text,
    (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()), 'metadata.relationship'::regclass::oid,
    pg_postmaster_start_time())"""
"""SQL, a text: equal only while nothing can be forgotten. A restored backup, or a server that took over, is another."""
