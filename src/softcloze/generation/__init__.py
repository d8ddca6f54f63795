"""New text from encoded prompts, a backbone and soft vectors."""

from softcloze.generation.options import DEFAULT_TOKENS, OPTIONS, validate_options
from softcloze.generation.writer import Writer

__all__ = ["DEFAULT_TOKENS", "OPTIONS", "Writer", "validate_options"]
