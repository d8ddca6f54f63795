"""The tokens of a label word in the mask's place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.template import Literal, Mask, Part
from softcloze.template.nodes import write


def word_ids(
    word: str, prompt_tokenizer: PromptTokenizer, outline: Sequence[Part], spaces: Mapping[Mask, str], name: str | None
) -> tuple[int, ...]:
    """Token ids of a label word in the mask's place, as the tokenizer would write it there.

    White space between the last literal and the mask belongs to the word (" good"). The word is
    tokenized behind the literal before the mask, or behind a full stop where there is none, if those
    keep their own tokens, so that no prefix marker is added that the running text would not have.

    Args:
        word: the label word.
        prompt_tokenizer: the tokenizer.
        outline: the parts of the template.
        spaces: the white space before each mask.
        name: of the mask; None where there is only one.

    Raises:
        EncodingError: the word has no tokens, some of it is unknown to the vocabulary, or it has other than the
            number of tokens that the mask asks for.
    """
    hole, mask = next(
        (i, part.node)
        for i, part in enumerate(outline)
        if isinstance(part.node, Mask) and name in (None, part.node.name)
    )
    ids = _ids_behind(outline[hole - 1] if hole > 0 else None, spaces[mask] + word, prompt_tokenizer)
    if not ids:
        raise EncodingError(f"label word {word!r} has no tokens in this model's vocabulary")
    tokens = " ".join(prompt_tokenizer.token(i) for i in ids)
    if prompt_tokenizer.unknown_id in ids:
        raise EncodingError(
            f"label word {word!r} is unknown to this model's vocabulary: it becomes {tokens}; choose another word"
        )
    if mask.count not in (None, len(ids)):
        fixed, free = write([mask, replace(mask, count=None)])
        raise EncodingError(
            f"label word {word!r} has {len(ids)} tokens in this model's vocabulary, {tokens}, where "
            f"{fixed} takes words of {mask.count}; choose another word, or write {free}, which takes "
            "words of any length"
        )
    return tuple(ids)


def _ids_behind(before: Part | None, text: str, prompt_tokenizer: PromptTokenizer) -> list[int]:
    if before is None:
        return prompt_tokenizer.ids(text)
    anchors = [before.text.rstrip()] if isinstance(before.node, Literal) else []
    for anchor in (*anchors, ".", "。"):
        anchor_ids, ids = prompt_tokenizer.ids(anchor), prompt_tokenizer.ids(anchor + text)
        if anchor_ids and ids[: len(anchor_ids)] == anchor_ids:
            return ids[len(anchor_ids) :]
    return prompt_tokenizer.ids(prompt_tokenizer.slot_marker + text)[1:]
