"""Command lines of serving engines, from the settings of a plan."""
