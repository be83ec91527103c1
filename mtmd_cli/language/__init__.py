"""Language models: from the metadata of a file to the description of a decoder."""
