"""How fast the service is, beside what the same machine could do without a service around the model."""
