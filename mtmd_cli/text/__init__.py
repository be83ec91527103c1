"""Text: chat templates, tokens, and text again."""
