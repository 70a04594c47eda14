"""The server we bring along, in parts; the door is `resources.postgres.embedded`."""
