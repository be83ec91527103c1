"""Vision towers: from the pixels of slices to the tokens that a language model sees."""
