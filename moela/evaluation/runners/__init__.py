"""Runners of evaluations: in this process, with joblib or Ray, or in supervised workers."""
