"""Latency models fitted to measured kernels, and whole steps composed from them."""
