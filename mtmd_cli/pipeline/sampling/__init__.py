"""The steps from logits to a distribution, each a pure function over candidates."""
