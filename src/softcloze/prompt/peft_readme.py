"""README.md of an exported PEFT adapter: the tail, the token ids of the label words, and code for probabilities."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from softcloze.backbone import Backbone
from softcloze.backbone.family import AUTO
from softcloze.backbone.location import IN_MEMORY
from softcloze.prompt.compiled import CompiledPrompt
from softcloze.prompt.front import Front
from softcloze.starters import STARTER
from softcloze.template import Template
from softcloze.verbalizer import Label, Verbalizer

# from the scores and weights of a label's words to its score
_AGGREGATIONS = {
    "log_mean_prob": "(scores + weights.log()).logsumexp(0) - weights.sum().log()",
    "mean_log_prob": "(scores * weights).sum() / weights.sum()",
    "max_log_prob": "(scores + weights.log()).max()",
    "log_sum_prob": "(scores + weights.log()).logsumexp(0)",
}


def write_readme(
    front: Front,
    compiled: CompiledPrompt,
    verbalizer: Verbalizer,
    right: Sequence[int],
    folder: Path,
    *,
    deep: bool = False,
) -> str:
    """Write the README.

    Args:
        front: the front that the adapter holds.
        compiled: the prompt.
        verbalizer: its label words, of which it has the token ids.
        right: ids after the mask of a causal model.
        folder: the folder of the adapter.
        deep: whether it holds keys and values instead of input embeddings.
    """
    template = compiled.template.template
    labels = _words_by_label(verbalizer, compiled.words)
    fields = ", ".join(f"{name}=..." for name in template.fields)
    lines = [
        *opening_lines(front, template, compiled.backbone, deep=deep),
        "| label | label words | token ids |",
        "| --- | --- | --- |",
        *(
            f"| {_cell(label)} | {_cell(', '.join(map(repr, words)))} | {', '.join(str([*ids]) for ids, *_ in entry)} |"
            for (label, entry), words in zip(labels.items(), verbalizer.words, strict=True)
        ),
        "",
        f"This computes the probabilities of the labels with `probabilities({fields})`:",
        "",
        "```python",
        *_code(front, compiled, verbalizer, labels, right, folder),
        "```",
        "",
        "- Pad a batch on the right, with an attention mask: PEFT counts positions through padding on the left.",
        *notes(f"A text that does not fit into {compiled.template.max_length} positions with the rest"),
    ]
    return "\n".join(lines)


def opening_lines(front: Front, template: Template, backbone: Backbone, *, deep: bool) -> list[str]:
    """Lines about the adapter and the tail."""
    slots = sum(token < 0 for token in front.ids)
    kind, count, others = "PREFIX" if deep else "PROMPT", len(front.ids), len(front.ids) - slots
    return [
        "# A prompt as a PEFT adapter",
        "",
        f"softcloze {version('softcloze')} wrote this {kind}_TUNING adapter for the model `{backbone.name}`",
        "from the template",
        "",
        *_indented(str(template)),
        "",
        f"It holds {'the keys and values of every layer' if deep else 'the input embeddings'} of the {count} positions",
        f"that precede the first field: {slots} trained vectors, and {others} special tokens and words. The rest is",
        "the tail, for `str.format`.",
        "It holds its special tokens, so tokenize it with `add_special_tokens=False`:",
        "",
        *_indented(repr(front.tail)),
        "",
    ]


def notes(too_long: str) -> list[str]:
    """The last lines; `too_long` is a text that has to be cut."""
    return [
        f"- {too_long} has to be cut before.",
        "- The name of a special token in a text becomes that token here; softcloze takes it as text.",
        "",
    ]


def _words_by_label(
    verbalizer: Verbalizer, ids: Sequence[tuple[int, ...]]
) -> Mapping[Label, list[tuple[tuple[int, ...], float, int]]]:
    """The token ids, the weight and the divisor of each word, by label."""
    lengths = verbalizer.lengths(ids) or [1] * len(ids)
    flat = iter(zip(ids, lengths, strict=True))
    return {
        label: [(tokens, weight, length) for weight in weights for tokens, length in [next(flat)]]
        for label, weights in zip(verbalizer.labels, verbalizer.weights, strict=True)
    }


def _code(
    front: Front,
    compiled: CompiledPrompt,
    verbalizer: Verbalizer,
    labels: Mapping[Label, list[tuple[tuple[int, ...], float, int]]],
    right: Sequence[int],
    folder: Path,
) -> list[str]:
    """Lines of Python that load the adapter and define `probabilities`."""
    backbone = compiled.backbone
    tokenizer = compiled.template.prompt_tokenizer
    mask = tokenizer.without_markers(tokenizer.mask_marker)
    lines = ["import torch", "from peft import PeftModel", *loading_lines(backbone, folder)]
    all_words = [word for entry in labels.values() for word in entry]
    one_each = all(len(entry) == 1 for entry in labels.values()) and verbalizer.length_norm == "none"
    if one_each and not right and all(len(ids) == 1 for ids, _, _ in all_words):
        words = [entry[0][0][0] for entry in labels.values()]
        lines += [
            f"def probabilities(**fields):  # of {', '.join(map(repr, labels))}",
            *tokenized_lines(front, mask),
            *_logits(front, backbone),
            f"    return logits[{words}].softmax(-1)",
        ]
        return lines
    entries = ", ".join(f"{label!r}: {[(list(i), w, n) for i, w, n in entry]}" for label, entry in labels.items())
    lines += [
        f"words = {{{entries}}}  # of each label: token ids, weight and length",
        "",
        "def word_score(word, fields):",
        *tokenized_lines(front, mask, " * len(word)" if backbone.family == "masked" else ""),
        *_word_score(front, backbone, right),
        "",
        "def probabilities(**fields):  # in the order of `words`",
        "    label_scores = []",
        "    for entries in words.values():",
        "        scores = torch.stack([word_score(word, fields) / length for word, _, length in entries])",
        "        weights = torch.tensor([weight for _, weight, _ in entries])",
        f"        label_scores.append({_AGGREGATIONS[verbalizer.aggregation]})",
        "    return torch.stack(label_scores).softmax(-1)",
    ]
    return lines


def _model_name(backbone: Backbone) -> list[str]:
    """Lines that set `name`."""
    if backbone.name.startswith(STARTER):
        fetched = backbone.name.removeprefix(STARTER)
        return ["from softcloze.starters import fetch_model", f"name = fetch_model({fetched!r})"]
    if backbone.name.startswith(IN_MEMORY):
        return ["name = ''  # the folder or the name of the model that the prompt was trained on"]
    return [f"name = {backbone.name!r}"]


def loading_lines(backbone: Backbone, folder: Path, *settings: str) -> list[str]:
    """Lines that set `tokenizer`, `base` and `model`, with lines about `base` between them."""
    kind = AUTO[backbone.family]
    return [
        f"from transformers import {kind}, AutoTokenizer",
        *_model_name(backbone),
        "tokenizer = AutoTokenizer.from_pretrained(name)",
        f"base = {kind}.from_pretrained(name, dtype={backbone.model.dtype})",
        *settings,
        f"model = PeftModel.from_pretrained(base, {str(folder)!r}).eval()",
        "",
    ]


def tokenized_lines(front: Front, mask: str, times: str = "") -> list[str]:
    """Lines that set `ids`, shape (1, tokens)."""
    filled = ""
    if "{mask}" in front.tail:
        filled = f", mask={mask!r}{times}"
    return [
        f"    text = {front.tail!r}.format(**fields{filled})",
        "    ids = tokenizer(text, add_special_tokens=False, return_tensors='pt').input_ids",
    ]


def _logits(front: Front, backbone: Backbone) -> list[str]:
    """Lines that set `logits` at a mask of one token, shape (vocab,)."""
    call = "model(input_ids=ids, attention_mask=torch.ones_like(ids)"
    if backbone.family == "causal":
        return [f"    logits = {call}).logits[0, -1]"]
    if backbone.family == "masked":
        return [
            f"    mask = {len(front.ids)} + ids[0].tolist().index({backbone.prompt_tokenizer.mask_id})",
            f"    logits = {call}).logits[0, mask]",
        ]
    return [*_decoder(front, backbone), f"    logits = {call}, decoder_input_ids=decoder).logits[0, -1]"]


def _word_score(front: Front, backbone: Backbone, right: Sequence[int]) -> list[str]:
    """Lines that return the log-probability of `word`, a list of ids."""
    call = "model(input_ids=ids, attention_mask=torch.ones_like(ids)"
    if backbone.family == "causal":
        return [
            f"    after = [*word{''.join(f', {token}' for token in right)}]",
            "    ids = torch.cat([ids, torch.tensor([after])], 1)",
            f"    logs = {call}).logits[0, -len(after) - 1 : -1].log_softmax(-1)",
            "    return sum(logs[k, token] for k, token in enumerate(after))",
        ]
    if backbone.family == "masked":
        return [
            f"    mask = {len(front.ids)} + ids[0].tolist().index({backbone.prompt_tokenizer.mask_id})",
            f"    logs = {call}).logits[0, mask : mask + len(word)].log_softmax(-1)",
            "    return sum(logs[k, token] for k, token in enumerate(word))",
        ]
    return [
        *_decoder(front, backbone),
        "    decoder = torch.cat([decoder, torch.tensor([word[:-1]], dtype=torch.long)], 1)",
        f"    logs = {call}, decoder_input_ids=decoder).logits[0, -len(word) :].log_softmax(-1)",
        "    return sum(logs[k, token] for k, token in enumerate(word))",
    ]


def _decoder(front: Front, backbone: Backbone) -> list[str]:
    """Lines that set `decoder`: the ids that the decoder has written before the label word."""
    start, tokenizer = backbone.decoder_start, backbone.prompt_tokenizer
    if tokenizer.sentinels:
        return [f"    decoder = torch.tensor([[{start}, {tokenizer.sentinels[0]}]])"]
    opening: list[Any] = [start, *(token for token in front.ids if token >= 0)]
    return [
        f"    written = ids[0].tolist()[: ids[0].tolist().index({tokenizer.mask_id})]",
        f"    decoder = torch.tensor([{opening} + written])",
    ]


def _indented(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()]


def _cell(value: object) -> str:
    """Text for a cell of a table."""
    return str(value).replace("|", "\\|").replace("\n", " ")
