"""Rules for a template and its label words with one tokenizer; no model is loaded."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from softcloze.encoding import NO_LIMIT, CompiledTemplate, PromptTokenizer
from softcloze.encoding.chat import ChatFormat
from softcloze.encoding.tokenizer import validate_tokenizer
from softcloze.encoding.tokens import readable_token
from softcloze.errors import (
    EncodingError,
    FieldError,
    ParameterError,
    TemplateLogicError,
    TemplateSyntaxError,
    TokenizerError,
    VerbalizerError,
)
from softcloze.lint.answers import check_written
from softcloze.lint.finding import Finding, Severity
from softcloze.lint.label_words import LabelWords, Word, WordListing, check_masks, list_words
from softcloze.lint.stray_tags import odd_name
from softcloze.template import ChatOptions, Field, Literal, Mask, Soft, Special, Template, Turn
from softcloze.verbalizer import RuleVerbalizer, Verbalizer
from softcloze.verbalizer.verbalizer import find_openings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def resolve_tokenizer(
    tokenizer: "PreTrainedTokenizerBase | PromptTokenizer", max_length: int | None
) -> tuple[PromptTokenizer, int]:
    """The tokenizer as softcloze's, with its limit or a lower one.

    Raises:
        TokenizerError: softcloze does not support this tokenizer.
    """
    most = NO_LIMIT if max_length is None else max_length
    if isinstance(tokenizer, PromptTokenizer):
        return tokenizer, most
    validate_tokenizer(tokenizer)
    return PromptTokenizer.guessed(tokenizer), min(tokenizer.model_max_length, most)


def check_tokens(
    template: Template,
    prompt_tokenizer: PromptTokenizer,
    max_length: int = NO_LIMIT,
    verbalizer: LabelWords | None = None,
    chat_options: ChatOptions | None = None,
) -> list[Finding]:
    """Find faults that only show with this tokenizer.

    Args:
        template: the template.
        prompt_tokenizer: the model's tokenizer.
        max_length: tokens of a prompt, at most.
        verbalizer: label -> its words, or a verbalizer.
        chat_options: values of variables of the chat template.

    Raises:
        TemplateTypeError: `verbalizer` is neither a mapping to words nor a verbalizer.
    """
    listing = list_words(verbalizer) if verbalizer is not None else WordListing("", (), ())
    findings = [*_check_specials(template, prompt_tokenizer), *_check_names(template, prompt_tokenizer.special_tokens)]
    if prompt_tokenizer.mask_id is None and template.answer is None:
        findings += _check_after_mask(template)
    findings += _check_turns(template, prompt_tokenizer, chat_options)
    if any(finding.severity == "error" for finding in findings):
        return findings  # it cannot be compiled
    try:
        compiled = CompiledTemplate(
            template, prompt_tokenizer, max_length, options=listing.options or ("",), chat_options=chat_options
        )
    except TemplateSyntaxError as error:
        return [*findings, Finding(error.code, "error", error.problem, "", error.source, error.start, error.end)]
    except EncodingError as error:
        i = next(i for i, node in enumerate(template.nodes) if isinstance(node, Soft) and node.init is not None)
        return [*findings, _finding(template, i, "no-tokens", "error", str(error), "start from other words")]
    if template.answer is not None:
        findings += check_written(compiled)
        if max_length < NO_LIMIT:
            written = template.answer.max or 1  # in the sequence of a causal model; a decoder has its own
            findings += _check_length(compiled, int(compiled.has_right) if prompt_tokenizer.decoder else written)
        return findings
    tokens: dict[Word, tuple[int, ...]] = {}
    for word in listing.words if not any(check_masks(listing, template)) else ():
        try:
            tokens[word] = compiled.word_ids(word.text, word.mask)
        except EncodingError as error:
            findings.append(listing.finding(word, "word-tokens", "error", str(error), ""))
    findings += _check_words(compiled, listing, tokens)
    if not listing.masks and (not isinstance(verbalizer, Verbalizer) or verbalizer.length_norm == "none"):
        findings += _check_lengths(compiled, listing, tokens)  # other units divide by the length
    if isinstance(verbalizer, RuleVerbalizer) and len(tokens) == len(listing.words) > 0:
        findings += _check_rules(compiled, listing, tokens, verbalizer)
    if max_length < NO_LIMIT:
        longest = dict.fromkeys(template.masks, 1)
        for word, ids in tokens.items() if not prompt_tokenizer.sentinels else ():
            mask = _mask_of(word, template)
            longest[mask] = max(longest[mask], len(ids))
        findings += _check_length(compiled, sum(longest.values()))
    return findings


def readable_tokens(
    listing: WordListing,
    template: Template,
    prompt_tokenizer: PromptTokenizer,
    chat_options: ChatOptions | None = None,
) -> dict[Word, tuple[str, ...]]:
    """The tokens of each word at its mask, without the words that cannot be encoded: `check_tokens` reports those."""
    tokens: dict[Word, tuple[str, ...]] = {}
    if any(check_masks(listing, template)):
        return tokens
    with suppress(EncodingError, TokenizerError, ParameterError):
        compiled = CompiledTemplate(
            template, prompt_tokenizer, NO_LIMIT, options=listing.options or ("",), chat_options=chat_options
        )
        for word in listing.words:
            with suppress(EncodingError):
                pieces = map(prompt_tokenizer.token, compiled.word_ids(word.text, word.mask))
                tokens[word] = tuple(readable_token(piece, byte_level=prompt_tokenizer.byte_level) for piece in pieces)
    return tokens


def _mask_of(word: Word, template: Template) -> Mask:
    """The mask of a word."""
    return next(mask for mask in template.masks if word.mask in (None, mask.name))


def _finding(template: Template, i: int, code: str, severity: Severity, message: str, advice: str) -> Finding:
    """A finding about node `i`."""
    return Finding(code, severity, message, advice, template.source, *template.spans[i])


def _check_specials(template: Template, prompt_tokenizer: PromptTokenizer) -> Iterator[Finding]:
    last = len(template.nodes) - 1
    for i, node in enumerate(template.nodes):
        if not isinstance(node, Special):
            continue
        try:
            marker = prompt_tokenizer.special(node.kind)
        except TokenizerError as error:
            yield _finding(template, i, "no-special-token", "error", str(error), "")
            continue
        added = (i == 0 and prompt_tokenizer.prefix_markers[-1:] == (marker,)) or (
            i == last and prompt_tokenizer.suffix_markers[:1] == (marker,)
        )
        if added:
            message = f"the tokenizer adds its {node.kind} token here itself, and softcloze does not double it"
            yield _finding(template, i, "added-anyway", "note", message, f"<{node.kind}> can be left out")


def _check_turns(
    template: Template, prompt_tokenizer: PromptTokenizer, chat_options: ChatOptions | None
) -> Iterator[Finding]:
    """Check that the tokenizer's chat template writes the turns, with these options."""
    if not template.turns:
        return
    try:
        ChatFormat(prompt_tokenizer, chat_options).frame([turn.role for turn in template.turns])
    except (EncodingError, ParameterError, TokenizerError) as error:
        first = next(i for i, node in enumerate(template.nodes) if isinstance(node, Turn))
        yield _finding(template, first, "chat-template", "error", str(error), "")


def _check_names(template: Template, special_tokens: Sequence[str]) -> Iterator[Finding]:
    for i, node in enumerate(template.nodes):
        if isinstance(node, Field) and f"<{node.name}>" in special_tokens and odd_name(node.name) is None:
            message = f"<{node.name}> is a field here, not the tokenizer's special token of that name"
            yield _finding(
                template,
                i,
                "odd-field",
                "warning",
                message,
                "the tags of special tokens are <bos>, <eos>, <sep> and <cls>",
            )


def _check_after_mask(template: Template) -> Iterator[Finding]:
    """Check the nodes after the mask of a causal model."""
    first = next(i for i, node in enumerate(template.nodes) if isinstance(node, Mask))
    after = range(first + 1, len(template.nodes))
    scored = [i for i in after if not isinstance(template.nodes[i], Soft)]
    if scored:
        start, end = template.spans[scored[0]][0], template.spans[scored[-1]][1]
        severity: Severity = "note"
        message = "a causal model scores the text after the mask once for each label word, which takes longer"
        advice = "put the mask last if you can"
        if len(template.masks) > 1:
            message = "a causal model scores all text after the first mask once for each label, which takes longer"
            advice = "put the text that all labels share before it"
        if all(isinstance(node := template.nodes[i], Literal) and not node.text.strip() for i in scored):
            severity, advice = "warning", "remove it: it is only white space"
        yield Finding("after-mask", severity, message, advice, template.source, start, end)
    for i in after:
        if not scored or i > scored[-1]:
            message = "a causal model scores nothing after these vectors: they change no score and get no gradient"
            yield _finding(template, i, "idle-soft", "warning", message, "put them before the mask")


def _check_words(
    compiled: CompiledTemplate, listing: WordListing, tokens: Mapping[Word, tuple[int, ...]]
) -> Iterator[Finding]:
    words: dict[tuple[str | None, tuple[int, ...]], Word] = {}
    for word, ids in tokens.items():
        earlier = words.setdefault((word.mask, ids), word)
        if earlier is not word and listing.masks:
            continue  # rules share words
        pieces = " ".join(map(compiled.prompt_tokenizer.token, ids))
        if earlier.text.strip() != word.text.strip():  # equal words are "shared-word"
            message = f"{word.text!r} has the same tokens as {earlier.text!r}: {pieces}"
            advice = "choose words that have different tokens"
            yield listing.finding(word, "same-tokens", "error", message, advice)
        if len(ids) > 1 and _mask_of(word, compiled.template).count is None:
            message = f"{word.text!r} has {len(ids)} tokens: {pieces}"
            yield listing.finding(word, "several-tokens", "note", message, "words of one token are scored fastest")


def _check_lengths(
    compiled: CompiledTemplate, listing: WordListing, tokens: Mapping[Word, tuple[int, ...]]
) -> Iterator[Finding]:
    """Check that the words are equally long, since each token lowers a word's probability."""
    words = list(tokens)
    if compiled.autoregressive:
        for longer, shorter in find_openings(list(tokens.values()), [word.label for word in words]):
            word, opening = words[longer], words[shorter].text
            message = f"{word.text!r} begins with the tokens of {opening!r}, so it is never likelier"
            yield listing.finding(word, "word-in-word", "error", message, "choose words that do not contain each other")
    counts: dict[Hashable, set[int]] = {}
    for word, ids in tokens.items():
        counts.setdefault(word.label, set()).add(len(ids))
    if len(set().union(*counts.values())) > 1:
        by_label = (f"{' or '.join(map(str, sorted(sizes)))} for label {label!r}" for label, sizes in counts.items())
        message = f"the words have different numbers of tokens: {', '.join(by_label)}"
        advice = "more tokens make a word less likely: choose words of equally many tokens, or length_norm='token'"
        yield Finding("uneven-tokens", "note", message, advice, listing.source, 0, len(listing.source))


def _check_rules(
    compiled: CompiledTemplate, listing: WordListing, tokens: Mapping[Word, tuple[int, ...]], rules: RuleVerbalizer
) -> Iterator[Finding]:
    ids = {(word.mask, word.text): word_ids for word, word_ids in tokens.items()}
    names = [mask.name for mask in compiled.template.masks]
    conjunctions = [tuple(ids[name, words[str(name)]] for name in names) for words in rules.conjunctions]
    try:
        rules.validate_tokens(conjunctions, autoregressive=compiled.autoregressive)
    except VerbalizerError as error:
        yield Finding("same-tokens", "error", str(error), "", listing.source, 0, len(listing.source))


def _check_length(compiled: CompiledTemplate, answer: int) -> Iterator[Finding]:
    """Check the positions that the template and an answer of this many tokens leave for the fields."""
    template, limit = compiled.template, compiled.max_length
    whole = (template.source, 0, len(template.source))
    try:
        size = _size_alone(compiled, answer)
    except EncodingError as error:
        yield Finding("too-long", "error", str(error), "", *whole)
        return
    if size is None:
        return
    left = limit - size
    if template.fields and left * 4 < limit:
        message = f"the template alone takes {limit - left} of {limit} positions and leaves {left} for its fields"
        yield Finding("few-positions", "warning", message, "shorten it", *whole)
    for i, node in enumerate(template.nodes):
        if isinstance(node, Field) and node.max is not None and node.max > left:
            message = f"max={node.max} has no effect: only {left} positions are left for the fields"
            yield _finding(template, i, "no-effect", "note", message, "leave it out, or lower it")


def _size_alone(compiled: CompiledTemplate, answer: int) -> int | None:
    """Positions of the template with empty fields; None if its logic fails on those."""
    template = compiled.template
    texts: dict[str, object] = dict.fromkeys(template.fields, "")
    for example in (texts, texts | {name: [] for name in template.variables}):
        try:
            (prompt,) = compiled.encode([example], answer_length=answer)
        except (FieldError, TemplateLogicError):
            continue
        return len(prompt) + answer
    return None
