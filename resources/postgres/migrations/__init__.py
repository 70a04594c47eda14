"""Alembic versions, named NNNN_expand_* or NNNN_contract_*: add first, take away a release later."""
