"""A later version of this service, in so far as it changes the table of predictions."""
