"""One file for each language family."""
