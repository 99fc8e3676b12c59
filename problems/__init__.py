"""Design problems for pymoo: 3D networks-on-chip, Mixture-of-Experts deployment, classics."""
