"""The command line. Nothing heavy is imported here or in a module of a command: `--help` must answer at once."""

from softcloze.cli.app import app, main

__all__ = ["app", "main"]
