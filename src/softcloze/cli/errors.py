"""What can be wrong with what was typed, or with the files that it names."""

from softcloze.errors import SoftclozeError


class CommandError(SoftclozeError, ValueError):
    """An option that cannot be used as it is."""


class FileError(SoftclozeError, OSError):
    """A file that cannot be read or written, or that is not what the command needs; names it."""
