"""The multi-objective knapsack problem."""
