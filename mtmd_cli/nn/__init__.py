"""Bricks: the modules that families are built from, named as the tensors of the file."""
