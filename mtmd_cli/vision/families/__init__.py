"""One file for each vision family."""
