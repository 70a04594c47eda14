"""WHO is this thing? Pure values: no clock, no randomness, no I/O, standard library only."""
