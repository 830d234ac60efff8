"""A first config for a data set: what its manifest tells is chosen, and written down with the reason."""
