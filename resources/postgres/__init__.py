"""PostgreSQL: the server we bring along, connections, tables, functions and migrations."""
