"""3D network-on-chip manycores as a multi-objective design problem."""
