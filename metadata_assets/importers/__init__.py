"""What other tools wrote about data, read into the same identities, records and edges."""
