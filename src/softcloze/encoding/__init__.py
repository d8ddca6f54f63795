"""Encoding: from a template and examples to token ids with soft slots."""

from softcloze.encoding.answers import AnswerFormat
from softcloze.encoding.blocks import CompiledBlock
from softcloze.encoding.compiled import CompiledTemplate
from softcloze.encoding.encoded import Demonstration, EncodedPrompt, MaskWords, TokenInfo, Truncation, summarise_cuts
from softcloze.encoding.tokenizer import NO_LIMIT, PretrainedTokenizer, PromptTokenizer, sentinels_of

__all__ = [
    "NO_LIMIT",
    "AnswerFormat",
    "CompiledBlock",
    "CompiledTemplate",
    "Demonstration",
    "EncodedPrompt",
    "MaskWords",
    "PretrainedTokenizer",
    "PromptTokenizer",
    "TokenInfo",
    "Truncation",
    "sentinels_of",
    "summarise_cuts",
]
