"""Token ids of a label word at a mask."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from softcloze.encoding.tokenizer import PromptTokenizer
from softcloze.errors import EncodingError
from softcloze.template import Answer, Literal, Mask, Part, Turn
from softcloze.template.nodes import write


def word_ids(
    word: str,
    prompt_tokenizer: PromptTokenizer,
    parts: Sequence[Part],
    spaces: Mapping[Mask | Answer, str],
    name: str | None,
) -> tuple[int, ...]:
    """Token ids of a label word at a mask, as the tokenizer would write it there.

    White space between the last literal and the mask belongs to the word (" good"). The word is tokenized after the
    literal before the mask, after the frame of the chat turn that the mask opens, or after a full stop if there is
    neither, provided that the tokens of that text stay the same. This avoids a word-initial marker that running text
    would not have.

    Args:
        word: the label word.
        prompt_tokenizer: the tokenizer.
        parts: the static parts of the template.
        spaces: the white space before each mask.
        name: name of the mask; None if the template has only one.

    Raises:
        EncodingError: the word has no tokens, an unknown token, or another number of tokens than the mask's count.
    """
    at, mask = next(
        (i, part.node) for i, part in enumerate(parts) if isinstance(part.node, Mask) and name in (None, part.node.name)
    )
    ids = ids_after(parts[at - 1] if at > 0 else None, spaces[mask] + word, prompt_tokenizer)
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


def ids_after(before: Part | None, text: str, prompt_tokenizer: PromptTokenizer) -> list[int]:
    """Token ids of `text` after a part of a template, or after a full stop if that text would change."""
    if before is None:
        return prompt_tokenizer.ids(text)
    anchors = [before.text.rstrip()] if isinstance(before.node, Literal) else []
    anchors += [before.text] if isinstance(before.node, Turn) else []
    for anchor in (*anchors, ".", "。"):
        anchor_ids, ids = prompt_tokenizer.ids(anchor), prompt_tokenizer.ids(anchor + text)
        if anchor_ids and ids[: len(anchor_ids)] == anchor_ids:
            return ids[len(anchor_ids) :]
    return prompt_tokenizer.ids(prompt_tokenizer.slot_marker + text)[1:]
