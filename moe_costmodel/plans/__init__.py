"""Deployment plans: files, text, exports for serving engines, and applying a plan to a model."""
