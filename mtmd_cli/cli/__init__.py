"""The command line: flags in, answer on stdout, everything else on stderr. Nothing here imports torch at the top."""
