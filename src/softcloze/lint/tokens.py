"""What can be said of a template and its label words for one tokenizer, before its model is loaded."""

from collections.abc import Hashable, Iterator, Mapping, Sequence

from softcloze.encoding import NO_LIMIT, CompiledTemplate, PromptTokenizer
from softcloze.errors import EncodingError, FieldError, TemplateLogicError, TokenizerError, VerbalizerError
from softcloze.lint.finding import Finding, Severity
from softcloze.lint.label_words import Labels, Word, WordTable, check_masks, word_table
from softcloze.lint.stray_tags import odd_name
from softcloze.template import Field, Literal, Mask, Soft, Special, Template
from softcloze.verbalizer import RuleVerbalizer, Verbalizer
from softcloze.verbalizer.verbalizer import find_openings


def check_encoding(
    template: Template, prompt_tokenizer: PromptTokenizer, max_length: int = NO_LIMIT, *, labels: Labels | None = None
) -> list[Finding]:
    """What is wrong, doubtful or worth knowing about a template with this vocabulary.

    Args:
        template: what to look at.
        prompt_tokenizer: the tokenizer of the model that it is meant for.
        max_length: tokens that a prompt may have.
        labels: label -> its words, or a verbalizer.

    Raises:
        TemplateTypeError: `labels` are no label words.
    """
    table = word_table(labels) if labels is not None else WordTable("", ())
    found = [*_check_specials(template, prompt_tokenizer), *_check_names(template, prompt_tokenizer.special_tokens)]
    if prompt_tokenizer.mask_id is None:
        found += _check_behind_mask(template)
    if any(finding.severity == "error" for finding in found):
        return found  # it cannot be compiled
    try:
        compiled = CompiledTemplate(template, prompt_tokenizer, max_length, options=table.options or ("",))
    except EncodingError as error:
        i = next(i for i, node in enumerate(template.nodes) if isinstance(node, Soft) and node.init is not None)
        return [*found, _finding(template, i, "no-tokens", "error", str(error), "start from other words")]
    tokens: dict[Word, tuple[int, ...]] = {}
    for word in table.words if not list(check_masks(table, template)) else ():
        try:
            tokens[word] = compiled.word_ids(word.text, word.mask)
        except EncodingError as error:
            found.append(table.finding(word, "word-tokens", "error", str(error), ""))
    found += _check_words(compiled, table, tokens)
    if not table.masks and (not isinstance(labels, Verbalizer) or labels.per == "word"):
        found += _check_lengths(compiled, table, tokens)  # which else scores are divided by
    if isinstance(labels, RuleVerbalizer) and len(tokens) == len(table.words) > 0:
        found += _check_rules(compiled, table, tokens, labels)
    if max_length < NO_LIMIT:
        longest = dict.fromkeys(template.masks, 1)
        for word, ids in tokens.items() if not prompt_tokenizer.sentinels else ():
            mask = _mask_of(word, template)
            longest[mask] = max(longest[mask], len(ids))
        found += _check_length(compiled, sum(longest.values()))
    return found


def _mask_of(word: Word, template: Template) -> Mask:
    """The mask that a word is for."""
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
            message = f"the tokenizer adds its {node.kind} token here itself, and it is not doubled"
            yield _finding(template, i, "added-anyway", "note", message, f"<{node.kind}> can be left out")


def _check_names(template: Template, special_tokens: Sequence[str]) -> Iterator[Finding]:
    for i, node in enumerate(template.nodes):
        if isinstance(node, Field) and f"<{node.name}>" in special_tokens and odd_name(node.name) is None:
            message = f"<{node.name}> is a field here, not the tokenizer's special token of that name"
            yield _finding(template, i, "odd-field", "warning", message, "only <bos>, <eos>, <sep> and <cls> are such")


def _check_behind_mask(template: Template) -> Iterator[Finding]:
    """Findings about what stands behind the mask of a causal model."""
    hole = next(i for i, node in enumerate(template.nodes) if isinstance(node, Mask))
    behind = range(hole + 1, len(template.nodes))
    scored = [i for i in behind if not isinstance(template.nodes[i], Soft)]
    if scored:
        start, end = template.spans[scored[0]][0], template.spans[scored[-1]][1]
        severity: Severity = "note"
        message = "a causal model scores what stands behind the mask once a label word, which takes longer"
        advice = "put the mask last if you can"
        if len(template.masks) > 1:
            message = (
                "a causal model scores all that stands behind the first mask once for each label, which takes longer"
            )
            advice = "put what all labels share in front of it"
        if all(isinstance(node := template.nodes[i], Literal) and not node.text.strip() for i in scored):
            severity, advice = "warning", "take it out: it is only white space"
        yield Finding("behind-mask", severity, message, advice, template.source, start, end)
    for i in behind:
        if not scored or i > scored[-1]:
            message = "a causal model reads nothing behind these vectors, so they change no score and learn nothing"
            yield _finding(template, i, "idle-soft", "warning", message, "put them in front of the mask")


def _check_words(
    compiled: CompiledTemplate, table: WordTable, tokens: Mapping[Word, tuple[int, ...]]
) -> Iterator[Finding]:
    words: dict[tuple[str | None, tuple[int, ...]], Word] = {}
    for word, ids in tokens.items():
        known = words.setdefault((word.mask, ids), word)
        if known is not word and table.masks:
            continue  # rules share words
        spelt = " ".join(map(compiled.prompt_tokenizer.token, ids))
        if known.text.strip() != word.text.strip():  # or else it is said without a tokenizer
            message = f"{word.text!r} has the same tokens as {known.text!r}: {spelt}"
            yield table.finding(word, "same-tokens", "error", message, "choose words that this vocabulary tells apart")
        if len(ids) > 1 and _mask_of(word, compiled.template).count is None:
            message = f"{word.text!r} has {len(ids)} tokens: {spelt}"
            yield table.finding(word, "several-tokens", "note", message, "words of one token are scored soonest")


def _check_lengths(
    compiled: CompiledTemplate, table: WordTable, tokens: Mapping[Word, tuple[int, ...]]
) -> Iterator[Finding]:
    """Findings about words that are longer than others, where every token counts."""
    known = list(tokens)
    if compiled.autoregressive:
        for longer, shorter in find_openings(list(tokens.values()), [word.label for word in known]):
            word, opening = known[longer], known[shorter].text
            message = f"{word.text!r} begins with the tokens of {opening!r}, so it is never the likelier one"
            yield table.finding(word, "word-in-word", "error", message, "choose words that do not contain each other")
    counts: dict[Hashable, set[int]] = {}
    for word, ids in tokens.items():
        counts.setdefault(word.label, set()).add(len(ids))
    if len(set().union(*counts.values())) > 1:
        each = (f"{' or '.join(map(str, sorted(own)))} for label {label!r}" for label, own in counts.items())
        message = f"the words have different numbers of tokens: {', '.join(each)}"
        advice = "a word is seldom likelier for one token more: choose words of one number, or per='token'"
        yield Finding("uneven-tokens", "note", message, advice, table.source, 0, len(table.source))


def _check_rules(
    compiled: CompiledTemplate, table: WordTable, tokens: Mapping[Word, tuple[int, ...]], rules: RuleVerbalizer
) -> Iterator[Finding]:
    ids = {(word.mask, word.text): own for word, own in tokens.items()}
    names = [mask.name for mask in compiled.template.masks]
    conjunctions = [tuple(ids[name, words[str(name)]] for name in names) for words in rules.conjunctions]
    try:
        rules.check_tokens(conjunctions, autoregressive=compiled.autoregressive)
    except VerbalizerError as error:
        yield Finding("same-tokens", "error", str(error), "", table.source, 0, len(table.source))


def _check_length(compiled: CompiledTemplate, answer: int) -> Iterator[Finding]:
    """Findings about the room that the template leaves, with an answer of so many tokens."""
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
        message = f"the template alone takes {limit - left} of {limit} positions, which leaves {left} for its fields"
        yield Finding("little-room", "warning", message, "shorten it", *whole)
    for i, node in enumerate(template.nodes):
        if isinstance(node, Field) and node.max is not None and node.max > left:
            message = f"max={node.max} does nothing: only {left} positions are left for the fields"
            yield _finding(template, i, "no-effect", "note", message, "leave it out, or write a smaller one")


def _size_alone(compiled: CompiledTemplate, answer: int) -> int | None:
    """Positions that the template takes with empty fields; None where its logic makes no prompt of those."""
    template = compiled.template
    texts: dict[str, object] = dict.fromkeys(template.fields, "")
    for example in (texts, texts | {name: [] for name in template.variables}):
        try:
            (prompt,) = compiled.encode([example], answer_length=answer)
        except (FieldError, TemplateLogicError):
            continue
        return len(prompt) + answer
    return None
