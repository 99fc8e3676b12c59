"""Provenance: signatures of problems and algorithms, digests of code, and the environment."""
