"""Which models exist, and which version of each may serve."""
