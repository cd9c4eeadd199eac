"""Drawing a Report as HTML and PDF, from its blocks alone; imports no JAX."""
