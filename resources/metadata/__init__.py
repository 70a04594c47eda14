"""The nouns of the metadata store, one file each; a noun's file holds all SQL about it."""
