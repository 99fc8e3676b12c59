"""Deployment of a Mixture-of-Experts model: gates, buffers, and placement jointly."""
