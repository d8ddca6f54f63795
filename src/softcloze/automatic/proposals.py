"""Templates and label words to try for a task, from its labels, its texts and the model."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest

from softcloze.automatic.pairs import Order, Pair, directions, grade_pairs, library_pairs, task_pairs
from softcloze.backbone import Backbone
from softcloze.data import Example, shown_fields
from softcloze.errors import SoftclozeError
from softcloze.label_words.label_names import language_of, like_tables, name_verbalizer
from softcloze.label_words.unnamed import scale_words, unnamed_order
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import States
from softcloze.template import ChatOptions, Template
from softcloze.verbalizer import AnyVerbalizer, Label, Verbalizer

MOST_WORD_TOKENS = 8  # of a label word; longer names label the rows only
MOST_OPTIONS = 20  # labels that `<options>` lists
# `{text}` stands for the fields, and for a mask at the start of a sentence there is no wording: a causal model reads
# the text first. PromptEOL, the wording with "one word": Jiang et al. 2023, arXiv:2307.16645
WORDINGS: Mapping[str, Sequence[str]] = {
    "en": (
        'This sentence: "{text}" means in one word: "<mask>',
        "<chat:user>{text}\n\nWhat is this about?<chat:assistant>It is about <mask>",
        "{text}\nCategory: <mask>",
        "<chat:user>{text}\n\nWhich of these fits best: <options>?<chat:assistant>The best fit is <mask>",
        "{text}\nSentiment: <mask>",
        "{text}\nThe writer wants <mask>",
    ),
    "zh": (
        "这句话：“{text}”用一个词概括：“<mask>",
        "<chat:user>{text}\n\n这段话说的是什么？<chat:assistant>这说的是<mask>",
        "{text}\n类别：<mask>",
        "<chat:user>{text}\n\n下面哪一项最合适：<options>？<chat:assistant>最合适的是<mask>",
        "{text} 总之，很 <mask>",
        "{text}\n作者想要<mask>",
    ),
}
MEAN = 0  # the wording at which the mean of the states is tried as well
SENTIMENT = 4  # the wording at which grades have words
UNNAMED = (0, 1, 2, 5)  # the wordings without label words for labels whose names say nothing
SENTENCE_END = {"en": ".", "zh": "。"}  # a masked model expects the end of the sentence after the mask


@dataclass(frozen=True, slots=True)
class Proposal:
    """A template with label words to try.

    Attributes:
        compiled: a hard template with one mask and the label words, compiled for states and, with words, their scores.
        has_words: the words mean the labels to the model; else they only name them.
        features: the state that a linear layer takes, as for `PromptClassifier`.
        orders: ways to give the words to other labels, of which the examples choose one, as for `arrange`.
    """

    compiled: CompiledPrompt
    has_words: bool
    features: States = "mask"
    orders: tuple[Order, ...] = field(default=(), compare=False)

    @property
    def template(self) -> Template:
        """The template."""
        return self.compiled.template.template

    @property
    def verbalizer(self) -> AnyVerbalizer:
        """The labels and their words."""
        return self.compiled.verbalizer


def propose(
    labels: Sequence[Label],
    examples: Sequence[Example],
    backbone: Backbone,
    *,
    verbalizer: AnyVerbalizer | None = None,
    templates: Sequence[Template] = (),
    max_length: int | None = None,
    chat_options: ChatOptions | None = None,
    class_names: Mapping[Label, str] | None = None,
) -> list[Proposal]:
    """Propose templates and label words, the most promising first.

    Templates given by the user come first. Then those of the library whose labels have like names, and general
    wordings, in turn; they are in Chinese where more than a fifth of the letters of the texts are Chinese, else in
    English. Where the names of the labels say nothing, as of numbers, it is templates of all tasks of the library, with
    words of a scale or of a table of as many labels, which the examples put in order.

    Args:
        labels: the labels.
        examples: the training examples; the first one shows their fields.
        backbone: the model; templates that do not fit it, such as chat turns without a chat template, are left out.
        verbalizer: label words given by the user, for all templates; None to propose words.
        templates: hard templates given by the user.
        max_length: limit of a prompt in tokens.
        chat_options: values of variables of the tokenizer's chat template.
        class_names: names of labels that are numbers, as a dataset brings them.

    Raises:
        SoftclozeError: a template given by the user does not fit the model, as for `CompiledPrompt`.
    """
    fields = shown_fields(examples)
    language = language_of([_text_of(example) for example in examples])
    name_words = verbalizer if verbalizer is not None else name_verbalizer(labels, class_names)
    similar = like_tables(labels, language, class_names) if verbalizer is None else {}
    of_library = library_pairs(similar, fields, language)
    order = unnamed_order(labels, class_names) if verbalizer is None and not of_library else None
    end = SENTENCE_END[language] if backbone.family == "masked" else ""
    general = [Template(wording.replace("{text}", _body(fields)) + end) for wording in WORDINGS[language]]
    if order is None:
        # the words of the library at the general wordings as well, since they mean the labels better than their names
        words = next(iter(similar.values()), name_words)
        proposed = [of_library, [Pair(template, words) for template in general]]
    else:
        chat = bool(getattr(backbone.prompt_tokenizer.original, "chat_template", None))
        of_tasks = task_pairs(order, fields, language, chat)
        wordings = [Pair(general[i]) for i in UNNAMED]
        wordings.append(Pair(general[SENTIMENT], scale_words(order, language), directions(order)))
        proposed = [grade_pairs(order, fields, language), wordings, of_tasks]
    pairs = [Pair(template, name_words) for template in templates]
    pairs += [pair for turn in zip_longest(*proposed) for pair in turn if pair is not None]
    named = name_verbalizer(labels, class_names)
    if named is not None and order is not None:  # the answers yes and no
        named = Verbalizer({label: str(i) for i, label in enumerate(labels)})
    names = named or Verbalizer({label: str(label) for label in labels})
    proposals = []
    for pair in {(pair.template, pair.verbalizer): pair for pair in pairs}.values():
        try:
            proposals.append(_propose(pair, names, backbone, max_length, chat_options))
            if pair.template == general[MEAN]:
                # in a causal model the mean does not depend on the words after the text: one template serves for all
                compiled = CompiledPrompt(pair.template, names, backbone, max_length, "linear", chat_options, "mean")
                proposals.append(Proposal(compiled, has_words=False, features="mean"))
        except SoftclozeError:
            if pair.template in templates:
                raise
    return proposals


def text_template(examples: Sequence[Example]) -> Template:
    """A template that shows all fields of the examples, and a mask.

    Raises:
        DataError: a name of a field is not one that a tag can have.

    >>> text_template([{"title": "A", "text": "B"}]).fields
    ('title', 'text')
    """
    return Template(f"{_body(shown_fields(examples))} <mask>")


def _text_of(example: Example) -> str:
    return example if isinstance(example, str) else " ".join(map(str, example.values()))


def _body(fields: Sequence[str]) -> str:
    r"""The part of a template that shows the fields.

    >>> _body(["title", "text"])
    'title: <title>\ntext: <text>'
    """
    return f"<{fields[0]}>" if len(fields) == 1 else "\n".join(f"{field}: <{field}>" for field in fields)


def _propose(
    pair: Pair,
    names: Verbalizer,
    backbone: Backbone,
    max_length: int | None,
    chat_options: ChatOptions | None,
) -> Proposal:
    """The proposal with the words of a pair, or without them if they are too long or do not fit.

    Raises:
        SoftclozeError: the template does not fit the model.
    """
    if pair.verbalizer is not None and len(names.labels) <= MOST_OPTIONS:
        with suppress(SoftclozeError):
            words = pair.verbalizer
            compiled = CompiledPrompt(pair.template, words, backbone, max_length, "words+linear", chat_options)
            if max(map(len, compiled.words)) <= MOST_WORD_TOKENS:
                return Proposal(compiled, has_words=True, orders=pair.orders)
    return Proposal(CompiledPrompt(pair.template, names, backbone, max_length, "linear", chat_options), has_words=False)
