"""The error of this room."""

from softcloze.errors import SoftclozeError


class EnsembleError(SoftclozeError, ValueError):
    """Classifiers that do not go together, or too little to learn their weights from."""
