"""MOELA's learned local search for algorithms of pymoo and for Optuna."""
