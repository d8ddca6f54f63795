"""Templates bound to tokenizers: examples in, encoded prompts out."""

from softcloze.encoding.blocks import CompiledBlock
from softcloze.encoding.compiled import CompiledTemplate, Example
from softcloze.encoding.errors import EncodingError, TokenizerError
from softcloze.encoding.prompt import Answer, Demonstration, EncodedPrompt, Piece, Truncation, summarise_cuts
from softcloze.encoding.vocabulary import NO_LIMIT, PretrainedTokenizer, Vocabulary, sentinels_of

__all__ = [
    "NO_LIMIT",
    "Answer",
    "CompiledBlock",
    "CompiledTemplate",
    "Demonstration",
    "EncodedPrompt",
    "EncodingError",
    "Example",
    "Piece",
    "PretrainedTokenizer",
    "TokenizerError",
    "Truncation",
    "Vocabulary",
    "sentinels_of",
    "summarise_cuts",
]
