"""Quality of fronts and runs: indicators, statistics, anytime performance, fronts, and tables."""
