"""Label words from labelled examples: one pass of the frozen model, then arithmetic on what it says at the mask."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from softcloze.backbone import Backbone, load_backbone
from softcloze.data import Example, as_examples, as_labels, validate_lengths
from softcloze.encoding import CompiledTemplate
from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean
from softcloze.label_words.beam_search import select
from softcloze.label_words.candidates import METHODS, is_word, read_candidates, tokens_of
from softcloze.library import resolve_template
from softcloze.template import Demos, Mask, Options, Soft, Template
from softcloze.verbalizer import Label, Verbalizer


def search_label_words(
    model: str | Backbone,
    template: str | Template,
    texts: Iterable[Example],
    labels: Iterable[Label],
    *,
    method: str = "petal",
    words: int = 3,
    start: Mapping[Label, str] | None = None,
    max_length: int | None = None,
    random_state: int = 0,
) -> Verbalizer:
    r"""Find words that can stand for labels, from a few labelled examples.

    The model reads each example once. Candidates are whole words of one token that fit the template (see
    `softcloze.label_words.candidates`). Each label looks at its likeliest ones and orders them by `method`; a beam then
    joins the first of all labels to the verbalizer that gives most examples their label. What the labels are called is
    known as well: names that are such words come first, and the search adds to them.

    Args:
        model: as for `PromptClassifier`.
        template: a hard template or its name in the library; for a causal model with the mask at the end.
        texts: the examples, as for `PromptClassifier.fit`.
        labels: the label of each, two examples of every label at least. Labels count the same, however many they have.
        method: how each label orders its words: "petal" (the odds of a word in the label's examples compared with all
            others) or "lm-bff" (how likely it is in the label's examples; of how many of the likeliest is settled by
            cross-validation, see `softcloze.label_words.beam_search`).
        words: how many for each label, the first one counted.
        start: the first word of each label, whatever the examples say. None takes the labels themselves where each of
            them is a word that can stand in the mask's place, and else none, as {} does.
        max_length: tokens a prompt may have; None for the model's own limit.
        random_state: seed of the folds of the cross-validation.

    Returns:
        A verbalizer like one written by hand: print its `label_words()`, strike out or add words, and give it to
        `PromptClassifier`. To give it a name, put the words into a folder of your own as
        `verbalizers/TASK/NAME.toml` (see `softcloze.library.list_templates`); `softcloze words --output` writes such
        a file.

    Raises:
        ParameterError: an unknown method; too few examples, labels or candidates; a template that leaves open more than
            the label word; a first word that is more than one token, or not one for each label.
        DataError: texts or labels that are no list of such.
        FieldError: an example lacks a field; names the row.
        EncodingError: an example cannot be encoded.

    Source:
        Schick, Schmid and Schütze, COLING 2020, arXiv:2010.13641 (PETAL), and Gao, Fisch and Chen, ACL 2021,
        arXiv:2012.15723 (LM-BFF, section 5.1). PETAL takes the words that each label ranks first, whatever the other
        labels take. LM-BFF tries all combinations of one word each and decides by fine-tuning the model. Here words
        ranked in either way go through one beam, several for a label, and the model stays as it is.

    Example:
        >>> template = "Review: <text>\nSentiment: <mask>"
        >>> found = search_label_words("starter:smollm2-135m", template, texts, labels)  # doctest: +SKIP
        >>> PromptClassifier("starter:smollm2-135m", template, found).predict(["A delight."])  # doctest: +SKIP
    """
    if method not in METHODS:
        raise ParameterError(
            f"method={method!r} is unknown; expected {', '.join(map(repr, METHODS))}"
            f"{did_you_mean(str(method), METHODS)}"
        )
    if words < 1:
        raise ParameterError(f"words={words}: a label needs at least 1")
    examples = as_examples(texts)
    if not examples:
        raise ParameterError("there are no examples to search in")
    given = as_labels(labels)
    validate_lengths(examples, given)
    classes = _classes(given)
    targets = np.searchsorted(classes, given)
    parsed = resolve_template(template)
    _check_template(parsed)
    values = [parsed.read_fields(example, row) for row, example in enumerate(examples)]

    backbone = load_backbone(model)
    limit = min(backbone.max_length, max_length) if max_length is not None else backbone.max_length
    compiled = CompiledTemplate(parsed, backbone.prompt_tokenizer, limit)
    if backbone.family == "causal" and compiled.has_right:
        raise ParameterError(
            f"text behind <mask> takes {backbone.name} a pass for every word of its vocabulary; "
            f"end the template {str(parsed)!r} with the mask"
        )
    contents = (str(value) for own in values for value in own.values())
    first = first_words(compiled, classes, start)
    found = read_candidates(backbone, compiled, compiled.encode(examples), targets, contents, first)
    needed = words * len(classes)
    if len(found.words) < needed:
        raise ParameterError(
            f"{needed} words are wanted, {words} for each of {len(classes)} labels, but the vocabulary of "
            f"{backbone.name} has only {len(found.words)} that fit the mask of {str(parsed)!r}; ask for fewer"
        )
    begun = tuple((found.words.index(word),) for word in first) or None
    choice = select(found.log_probs, targets, METHODS[method], words, random_state, begun)
    return Verbalizer({label: [found.words[i] for i in own] for label, own in zip(classes, choice, strict=True)})


def first_words(compiled: CompiledTemplate, classes: Sequence[Label], start: Mapping[Label, str] | None) -> list[str]:
    """The word that each label begins with; none at all where a label's own name is no such word.

    Raises:
        ParameterError: `start` has words for other labels, one that is not one token, or one twice.
    """
    if start is None:
        names = [label for label in classes if isinstance(label, str)]
        fits = all(is_word(name) and len(tokens_of(compiled, name)) == 1 for name in names)
        return names if fits and len(names) == len(classes) else []
    if start and set(start) != set(classes):
        raise ParameterError(f"start has words for {list(start)!r:.200}, but the labels are {classes!r:.200}")
    chosen = [start[label] for label in classes if label in start]
    for word in chosen:
        tokens = tokens_of(compiled, word)
        if len(tokens) != 1:
            raise ParameterError(
                f"start has {word!r}, which is {len(tokens)} tokens in the mask's place of {str(compiled.template)!r}; "
                "a search joins words of one token"
            )
    if len({tokens_of(compiled, word) for word in chosen}) < len(chosen):
        raise ParameterError(f"start has one word for two labels: {chosen!r:.200}")
    return chosen


def _classes(labels: Sequence[Label]) -> list[Label]:
    """The labels, sorted.

    Raises:
        ParameterError: fewer than two, one that is neither text nor number, or one with a single example.
    """
    counts = Counter(labels)
    if not any(all(isinstance(label, kind) for label in counts) for kind in (str, int)):
        raise ParameterError(f"labels must all be str or all be int, got {list(counts)!r:.200}")
    classes = sorted(counts)
    if len(classes) < 2:
        raise ParameterError(f"label words tell at least two labels apart, found {classes}")
    few = [repr(label) for label in classes if counts[label] < 2]
    if few:
        raise ParameterError(
            f"there is only one example of {', '.join(few)}, and cross-validation takes at least 2 of each label; "
            "16 are a good start"
        )
    return classes


def _check_template(template: Template) -> None:
    """Refuse a template that leaves open more than the label word."""
    written = repr(str(template))
    if len(template.masks) > 1:
        raise ParameterError(f"a search finds words for one mask, and {written} has {len(template.masks)}")
    for node in template.nodes:
        match node:
            case Soft():
                hard = Template.from_nodes(other for other in template.nodes if not isinstance(other, Soft))
                raise ParameterError(
                    f"the soft slots of {written} are trained with label words, so they cannot help to find any; "
                    f"search with the hard part, {str(hard)!r}, and fit {written} with the words that it finds"
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
                    f"a search finds words of one token, but {written} has <mask*{count}>; write <mask>"
                )
