"""A service that answers over HTTP with the prompts of a registry, all on one frozen model."""
