"""Tables of kernels measured on GPUs: finding, reading, and interpolating them."""
