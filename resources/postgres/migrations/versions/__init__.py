"""The versions in order; each is frozen once released."""
