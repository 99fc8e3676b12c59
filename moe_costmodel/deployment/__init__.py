"""The deployment model: step times of a plan on recorded traffic, checked and verified."""
