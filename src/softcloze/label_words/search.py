"""Find label words by labelled examples: one forward pass of the frozen model, then a beam search on its scores."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from softcloze.backbone import AnyModel, load_backbone
from softcloze.data import Example, as_examples, as_labels, validate_lengths, validate_several
from softcloze.encoding import CompiledTemplate
from softcloze.errors import ParameterError
from softcloze.label_words.beam_search import choose_words
from softcloze.label_words.candidates import RANKINGS, is_word, read_candidates, tokens_of
from softcloze.library import resolve_mask_template
from softcloze.parameters import NONE, integer, one_of, validate_parameters
from softcloze.template import CHAT_OPTIONS, ChatOptions, Demos, Mask, Options, Soft, Template, without_slots
from softcloze.verbalizer import Label, Verbalizer

CONSTRAINTS = {
    "method": one_of(*RANKINGS),
    "words": integer(at_least=1),
    "max_length": integer(at_least=1) | NONE,
    "chat_options": CHAT_OPTIONS | NONE,
    "random_state": integer(at_least=0),
}


def search_label_words(
    model: AnyModel,
    template: str | Template,
    texts: Iterable[Example],
    labels: Iterable[Label],
    *,
    method: str = "petal",
    words: int = 3,
    start: Mapping[Label, str] | None = None,
    max_length: int | None = None,
    chat_options: ChatOptions | None = None,
    random_state: int = 0,
) -> Verbalizer:
    r"""Find label words by a few labelled examples.

    The model scores each example once. Candidates are whole words of one token that fit the template (see
    `softcloze.label_words.candidates`). `method` ranks the likeliest candidates of each label, and a beam search
    combines the best of all labels into the verbalizer that classifies most examples correctly. Names of labels that
    are such words come first, and the search adds to them.

    Args:
        model: as for `PromptClassifier`.
        template: a hard template or its name in the library; for a causal model with the mask at the end.
        texts: the examples, as for `PromptClassifier.fit`.
        labels: the label of each; at least two examples of each label. All labels count the same.
        method: ranking of a label's words: "petal" (odds in the label's examples against all others) or "lm-bff"
            (probability in the label's examples; cross-validation selects the number of candidates, see
            `softcloze.label_words.beam_search`).
        words: number of words for each label, the first one included.
        start: the first word of each label, whatever the examples. None takes the labels themselves if each is a
            candidate, and otherwise none, as {} does.
        max_length: tokens of a prompt, at most; None for the model's own limit.
        chat_options: values of variables of the tokenizer's chat template, as for `PromptClassifier`.
        random_state: seed of the folds of the cross-validation.

    Returns:
        A verbalizer like one written by hand: print its `label_words()`, edit them, and give it to
        `PromptClassifier`. `softcloze label-words --out` writes it to a file, which in a folder of your own, as
        `verbalizers/TASK/NAME.toml`, has a name (see `softcloze.library.list_templates`).

    Raises:
        ParameterError: an unknown method; too few examples or candidates; a template with more than the label
            word open; a first word of several tokens, or missing for a label.
        DataError: texts or labels that are not lists of such, or fewer than two labels.
        FieldError: an example lacks a field; names its index.
        EncodingError: an example cannot be encoded.

    Source:
        Schick, Schmid and Schütze, COLING 2020, arXiv:2010.13641 (PETAL), and Gao, Fisch and Chen, ACL 2021,
        arXiv:2012.15723 (LM-BFF, section 5.1). PETAL takes the words that rank first for each label, independently
        of the other labels. LM-BFF tries all combinations of one word each and selects by fine-tuning the model. Here a
        beam search combines words of either ranking, several for a label, and the model stays frozen.

    Example:
        >>> template = "Review: <text>\nSentiment: <mask>"
        >>> verbalizer = search_label_words("starter:smollm2-135m", template, texts, labels)  # doctest: +SKIP
        >>> PromptClassifier("starter:smollm2-135m", template, verbalizer).predict(["A delight."])  # doctest: +SKIP
    """
    options = {"method": method, "words": words, "max_length": max_length, "random_state": random_state}
    validate_parameters({**options, "chat_options": chat_options}, CONSTRAINTS)
    parsed = resolve_mask_template(template)
    examples = as_examples(texts, parsed.fields)
    if not examples:
        raise ParameterError("no examples: give labelled texts")
    given = as_labels(labels)
    validate_lengths(examples, given)
    classes = _classes(given)
    targets = np.searchsorted(classes, given)
    _validate_template(parsed)
    parsed.validate_examples(examples)
    values = [parsed.read_fields(example, row) for row, example in enumerate(examples)]

    backbone = load_backbone(model)
    limit = min(backbone.max_length, max_length) if max_length is not None else backbone.max_length
    compiled = CompiledTemplate(parsed, backbone.prompt_tokenizer, limit, chat_options=chat_options)
    if backbone.family == "causal" and compiled.has_right:
        raise ParameterError(
            f"text after <mask> takes {backbone.name} a forward pass for every word of its vocabulary; "
            f"end the template {str(parsed)!r} with the mask"
        )
    contents = (str(value) for of_example in values for value in of_example.values())
    first = initial_words(compiled, classes, start)
    candidates = read_candidates(backbone, compiled, compiled.encode(examples), targets, contents, first)
    needed = words * len(classes)
    if len(candidates.words) < needed:
        raise ParameterError(
            f"{needed} words are wanted, {words} for each of {len(classes)} labels, but the vocabulary of "
            f"{backbone.name} has only {len(candidates.words)} that fit the mask of {str(parsed)!r}; ask for fewer"
        )
    initial = tuple((candidates.words.index(word),) for word in first) or None
    choice = choose_words(candidates.log_probs, targets, RANKINGS[method], words, random_state, initial)
    return Verbalizer(
        {label: [candidates.words[i] for i in chosen] for label, chosen in zip(classes, choice, strict=True)}
    )


def initial_words(compiled: CompiledTemplate, classes: Sequence[Label], start: Mapping[Label, str] | None) -> list[str]:
    """The first word of each label; none at all if `start` is None and a label's name is not a candidate.

    Raises:
        ParameterError: `start` is not a mapping to words, has words for other labels, a word of several tokens, or one
            word twice.
    """
    if start is None:
        names = [label for label in classes if isinstance(label, str)]
        fits = all(is_word(name) and len(tokens_of(compiled, name)) == 1 for name in names)
        return names if fits and len(names) == len(classes) else []
    if not isinstance(start, Mapping) or not all(isinstance(word, str) for word in start.values()):
        raise ParameterError(f"start={start!r:.200}: expected a mapping from each label to its first word")
    if start and set(start) != set(classes):
        raise ParameterError(f"start has words for {list(start)!r:.200}, but the labels are {classes!r:.200}")
    chosen = [start[label] for label in classes if label in start]
    for word in chosen:
        tokens = tokens_of(compiled, word)
        if len(tokens) != 1:
            raise ParameterError(
                f"start has {word!r}, which is {len(tokens)} tokens at the mask of {str(compiled.template)!r}; "
                "the search combines words of one token"
            )
    if len({tokens_of(compiled, word) for word in chosen}) < len(chosen):
        raise ParameterError(f"start has one word for two labels: {chosen!r:.200}")
    return chosen


def _classes(labels: Sequence[Label]) -> list[Label]:
    """The labels, sorted; raise if there are fewer than two, or if one has a single example."""
    validate_several(labels)
    counts = Counter(labels)
    classes = sorted(counts)
    few = [repr(label) for label in classes if counts[label] < 2]
    if few:
        raise ParameterError(
            f"only one example of {', '.join(few)}, and cross-validation needs at least 2 of each label; "
            "16 are a good start"
        )
    return classes


def _validate_template(template: Template) -> None:
    """Raise ParameterError if the template has more than the label word open."""
    written = repr(str(template))
    if len(template.masks) > 1:
        raise ParameterError(f"the search finds words for one mask, and {written} has {len(template.masks)}")
    for node in template.nodes:
        match node:
            case Soft():
                hard = without_slots(template)
                raise ParameterError(
                    f"the soft slots of {written} are trained with label words, so they cannot help to find them; "
                    f"search with the hard part, {str(hard)!r}, then fit {written} with the words found"
                )
            case Demos():
                raise ParameterError(
                    f"the demonstrations of {written} show label words, which are still to be found; "
                    "search without <demos>"
                )
            case Options():
                raise ParameterError(
                    f"<options> in {written} lists the label words, which are still to be found; search without it"
                )
            case Mask(count) if count not in (None, 1):
                raise ParameterError(
                    f"the search finds words of one token, but {written} has <mask*{count}>; write <mask>"
                )
