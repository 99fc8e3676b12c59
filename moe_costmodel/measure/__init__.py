"""Measurement of kernels on this machine, and tables of kernels that others measured."""
