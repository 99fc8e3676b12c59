"""How tables and pictures show themselves in notebooks."""
