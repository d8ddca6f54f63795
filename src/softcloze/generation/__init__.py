"""New text from encoded prompts, a backbone and soft vectors."""

from softcloze.generation.options import DEFAULT_TOKENS, OPTIONS, validate_ids, validate_options, with_changes
from softcloze.generation.pieces import TextPieces
from softcloze.generation.stream import stream_text
from softcloze.generation.writer import Writer, Written

__all__ = [
    "DEFAULT_TOKENS",
    "OPTIONS",
    "TextPieces",
    "Writer",
    "Written",
    "stream_text",
    "validate_ids",
    "validate_options",
    "with_changes",
]
