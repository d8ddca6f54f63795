"""A running service and clients of it."""
