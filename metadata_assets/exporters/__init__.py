"""What we know, told in the words of other tools."""
