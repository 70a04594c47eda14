"""Mutants: the mechanism with one part taken out. A checker that lets one of them pass can prove nothing."""

from importlib import resources as package_files

import psycopg

_FUNCTIONS = package_files.files("resources.postgres") / "functions"

_CLAIM = """
    ORDER BY i.idempotency_key
    ON CONFLICT (tenant_id, op, key) DO NOTHING
    RETURNING key
"""
_LOOK_FIRST = """
    WHERE NOT EXISTS (
      SELECT 1 FROM metadata.idempotency k
      WHERE k.tenant_id = v_tenant AND k.op = 'commit' AND k.key = i.idempotency_key)
    ORDER BY i.idempotency_key
    RETURNING key
"""
_NO_UNIQUE_KEYS = """
ALTER TABLE metadata.idempotency DROP CONSTRAINT idempotency_pkey;
ALTER TABLE metadata.materialization
  DROP CONSTRAINT materialization_idempotency_key_key, DROP CONSTRAINT materialization_pkey CASCADE;
ALTER TABLE metadata.materialization_input DROP CONSTRAINT materialization_input_pkey;
"""


def without_unique_keys(url: str) -> None:
    """Nothing but a look before the insert keeps a key from being used twice."""
    commit = _replaced((_FUNCTIONS / "materializations.sql").read_text(), _CLAIM, _LOOK_FIRST)
    # Publishing is left as it is, but for the index that its claim would name.
    publish = _replaced((_FUNCTIONS / "versions.sql").read_text(), "ON CONFLICT (tenant_id, op, key)", "ON CONFLICT")
    _change(url, _NO_UNIQUE_KEYS, commit, publish)


_READ = "SELECT coalesce(array_agg(key), '{}') INTO v_fresh FROM claimed;"
_READ_TOO = """
  SELECT coalesce((SELECT array_agg(key) FROM claimed), '{}'),
    (SELECT array_agg(k.key) FROM metadata.idempotency k JOIN jsonb_to_recordset(p_items) AS i (idempotency_key text)
      ON k.tenant_id = v_tenant AND k.op = 'commit' AND k.key = i.idempotency_key)
  INTO v_fresh, v_read;
"""
_ANSWER = "AND m.idempotency_key = ANY (v_keys)\n    ORDER BY"
_ANSWER_READ = "AND m.idempotency_key = ANY (v_fresh || v_read)\n    ORDER BY"


def claiming_and_reading_at_once(url: str) -> None:
    """The statement that loses a claim also reads what the winner wrote: in a snapshot from before the winner."""
    commit = (_FUNCTIONS / "materializations.sql").read_text()
    commit = _replaced(commit, "v_fresh text[];", "v_fresh text[]; v_read text[];")
    commit = _replaced(commit, _READ, _READ_TOO)
    _change(url, _replaced(commit, _ANSWER, _ANSWER_READ))


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"the function has changed, this mutant no longer fits: {old}"
    return text.replace(old, new)


def _change(url: str, *scripts: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE metadata_owner")
        for script in scripts:
            connection.execute(script.encode())
