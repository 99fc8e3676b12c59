"""Building blocks that all algorithms of moela share."""
