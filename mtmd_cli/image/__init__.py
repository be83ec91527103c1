"""Images: reading them, and where to cut them. Knows no model."""
