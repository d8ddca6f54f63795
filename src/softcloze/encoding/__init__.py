"""Templates bound to tokenizers: examples in, encoded prompts out."""

from softcloze.encoding.compiled import CompiledBlock, CompiledTemplate, Example
from softcloze.encoding.encoded import Answer, Demonstration, EncodedPrompt, Piece, Truncation, summarise_cuts
from softcloze.encoding.tokenizer import NO_LIMIT, PretrainedTokenizer, Vocabulary, sentinels_of

__all__ = [
    "NO_LIMIT",
    "Answer",
    "CompiledBlock",
    "CompiledTemplate",
    "Demonstration",
    "EncodedPrompt",
    "Example",
    "Piece",
    "PretrainedTokenizer",
    "Truncation",
    "Vocabulary",
    "sentinels_of",
    "summarise_cuts",
]
