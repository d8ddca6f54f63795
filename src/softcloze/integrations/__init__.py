"""Functions for other libraries, each in a module of its own; some need an extra of softcloze."""
