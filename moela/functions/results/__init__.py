"""The result of a run: its front, how to choose from it, and how it is shown."""
