"""Templates bound to tokenizers: examples in, encoded prompts out."""

from softcloze.encoding.compiled import CompiledBlock, CompiledTemplate, EncodingError, Example
from softcloze.encoding.prompt import EncodedPrompt, Piece
from softcloze.encoding.vocabulary import PretrainedTokenizer, TokenizerError, Vocabulary

__all__ = [
    "CompiledBlock",
    "CompiledTemplate",
    "EncodedPrompt",
    "EncodingError",
    "Example",
    "Piece",
    "PretrainedTokenizer",
    "TokenizerError",
    "Vocabulary",
]
