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
    # Other claims are left as they are, but for the index that they would name.
    claim = _replaced((_FUNCTIONS / "aliases.sql").read_text(), "ON CONFLICT (tenant_id, op, key)", "ON CONFLICT")
    _change(url, _NO_UNIQUE_KEYS, commit, claim)


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


def rolling_back_whatever_is_there(url: str) -> None:
    """The expected version is named, and not compared."""
    _change(url, _replaced((_FUNCTIONS / "rollback.sql").read_text(), "v_present <> p_expected", "false"))


_DECIDED = "  RETURN v_condemned;\n"
_DECIDED_SLOWLY = "  PERFORM pg_sleep(0.04) WHERE v_condemned <> '{}';\n  RETURN v_condemned;\n"
_PUBLISH_LOCK = "  ORDER BY d.dataset_id FOR NO KEY UPDATE;\n\n  -- New statements"


def publishing_without_the_row(url: str) -> None:
    """Publishes wait for each other, and for nobody who collects."""
    condemning_slowly(url)
    versions = (_FUNCTIONS / "versions.sql").read_text()
    _change(url, _replaced(versions, _PUBLISH_LOCK, "  ORDER BY d.dataset_id;\n\n  -- New statements"))


_NOT_OLDER = " AND o.fencing_token <= m.fencing_token))"


def publishing_whoever_is_last(url: str) -> None:
    """Fencing tokens are not compared: what is published last is what readers get."""
    _change(url, _replaced((_FUNCTIONS / "versions.sql").read_text(), _NOT_OLDER, "))"))


_EPOCH = "v_task.lease_epoch <> p_epoch OR v_attempt.lease_epoch <> p_epoch"
_STATUS = "v_attempt.status <> ALL (p_allowed)"


def holding_whoever_asks(url: str) -> None:
    """Epochs of leases are not compared, nor is it seen that who takes over has marked the one before as lost."""
    leases = _replaced((_FUNCTIONS / "attempt_leases.sql").read_text(), _EPOCH, "false")
    _change(url, _replaced(leases, _STATUS, f"{_STATUS} AND v_attempt.status <> 'lost'"))


_LOCK = """
  PERFORM 1 FROM metadata.dataset d WHERE d.tenant_id = v_tenant AND d.dataset_id = p_dataset FOR NO KEY UPDATE;
"""
_LOOK = """
    FROM metadata.garbage_among(v_tenant, p_dataset, p_keep_versions, p_keep_for, p_materializations) g
    ORDER BY"""
_LOCK_AND_LOOK = """
  FROM (
    SELECT 1 FROM metadata.dataset d
    WHERE d.tenant_id = v_tenant AND d.dataset_id = p_dataset FOR NO KEY UPDATE) held
  CROSS JOIN LATERAL metadata.garbage_among(v_tenant, p_dataset, p_keep_versions, p_keep_for, p_materializations) g
    ORDER BY"""


def condemning_in_one_statement(url: str) -> None:
    """The look has the snapshot from before the lock was waited for."""
    collecting = _replaced((_FUNCTIONS / "collecting_garbage.sql").read_text(), _LOCK, "\n")
    collecting = _replaced(collecting, _DECIDED, _DECIDED_SLOWLY)
    _change(url, _replaced(collecting, _LOOK, _LOCK_AND_LOOK))


def condemning_slowly(url: str) -> None:
    """No mutant: only more time between the decision and its commit, so that more of the others meet it."""
    collecting = (_FUNCTIONS / "collecting_garbage.sql").read_text()
    _change(url, _replaced(collecting, _DECIDED, _DECIDED_SLOWLY))


_PIN_LOCK = "ORDER BY d.dataset_id FOR SHARE;"
_PINNED = "  RETURN QUERY SELECT v_pin, false;\n"


def pinning_without_sharing_the_row(url: str) -> None:
    """A pin is no reason to wait for whoever collects."""
    condemning_slowly(url)
    pins = _replaced((_FUNCTIONS / "pins.sql").read_text(), _PIN_LOCK, "ORDER BY d.dataset_id;")
    _change(url, _replaced(pins, _PINNED, f"  PERFORM pg_sleep(0.15);\n{_PINNED}"))


_MARK = "  UPDATE metadata.staging_lease l SET state = 'reaping'\n  FROM ("
_MARK_NOTHING = "  PERFORM 1 FROM metadata.staging_lease l, ("
_ONLY_MARKED = "WHERE l.tenant_id = p_tenant AND l.state = 'reaping' AND l.location > p_after"
_EXPIRED = "WHERE l.tenant_id = p_tenant AND l.expires_at < clock_timestamp() AND l.location > p_after"


def reaping_without_marking(url: str) -> None:
    """Files go as soon as the time of their lease is up, and a commit does not hear of it."""
    collecting = _replaced((_FUNCTIONS / "collecting_garbage.sql").read_text(), _MARK, _MARK_NOTHING)
    _change(url, _replaced(collecting, _ONLY_MARKED, _EXPIRED))


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"the function has changed, this mutant no longer fits: {old}"
    return text.replace(old, new)


def _change(url: str, *scripts: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE metadata_owner")
        for script in scripts:
            connection.execute(script.encode())
