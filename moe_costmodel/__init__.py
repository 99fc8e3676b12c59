"""A cost model of Mixture-of-Experts inference, fitted to kernels that torch ran."""
