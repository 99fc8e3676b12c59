"""The chip: its platform, processing elements, layers, links, and traffic."""
