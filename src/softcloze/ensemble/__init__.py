"""Several prompts as one classifier, and one prompt that learns from several."""

from softcloze.ensemble.ensemble import PromptEnsemble
from softcloze.ensemble.errors import EnsembleError

__all__ = ["EnsembleError", "PromptEnsemble"]
