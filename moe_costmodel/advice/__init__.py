"""Advice from recorded traffic: what to set in which engine, and what to leave alone."""
