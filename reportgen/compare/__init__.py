"""Two reports held against each other, from what both keep: no network, no image file, no JAX."""
