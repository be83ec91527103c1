"""From a question and images to the events of an answer."""
