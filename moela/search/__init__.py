"""The MOELA algorithm: evolution over sub-problems that alternates with learned local search."""
