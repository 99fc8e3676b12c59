"""Network-on-chip designs: rules, pictures, files, heat, and other programs."""
