"""The `moela moe` commands."""
