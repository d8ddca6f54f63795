"""Templates and label words to try for a task, from its labels, its texts and the model."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from softcloze.backbone import Backbone
from softcloze.data import Example, shown_fields
from softcloze.errors import SoftclozeError
from softcloze.label_words.label_names import language_of, like_tables, name_verbalizer
from softcloze.library import list_templates, load_template
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
SENTENCE_END = {"en": ".", "zh": "。"}  # a masked model expects the end of the sentence after the mask


@dataclass(frozen=True, slots=True)
class Proposal:
    """A template with label words to try.

    Attributes:
        compiled: a hard template with one mask and the label words, compiled for states and, with words, their scores.
        has_words: the words mean the labels to the model; else they only name them.
        features: the state that a linear layer takes, as for `PromptClassifier`.
    """

    compiled: CompiledPrompt
    has_words: bool
    features: States = "mask"

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
    English.

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
    # the words of the library at the general wordings as well, since they mean the labels better than their names
    words = next(iter(similar.values()), name_words)
    of_library = _library_pairs(similar, fields, language)
    end = SENTENCE_END[language] if backbone.family == "masked" else ""
    general = [(Template(wording.replace("{text}", _body(fields)) + end), words) for wording in WORDINGS[language]]
    pairs = [(template, name_words) for template in templates]
    for i in range(max(len(of_library), len(general))):
        pairs += of_library[i : i + 1] + general[i : i + 1]
    names = name_verbalizer(labels, class_names) or Verbalizer({label: str(label) for label in labels})
    proposals = []
    for template, of_pair in dict.fromkeys(pairs):
        try:
            proposals.append(_propose(template, of_pair, names, backbone, max_length, chat_options))
            if template == general[MEAN][0]:
                # in a causal model the mean does not depend on the words after the text: one template serves for all
                compiled = CompiledPrompt(template, names, backbone, max_length, "linear", chat_options, "mean")
                proposals.append(Proposal(compiled, has_words=False, features="mean"))
        except SoftclozeError:
            if template in templates:
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


def _library_pairs(
    similar: Mapping[str, Verbalizer], fields: Sequence[str], language: str
) -> list[tuple[Template, Verbalizer]]:
    """Hard templates of the library for the tasks of these tables, each with its own table or the first of its task."""
    of_task: dict[str, Verbalizer] = {}
    for name, verbalizer in similar.items():
        of_task.setdefault(name.split("/")[0], verbalizer)
    pairs = []
    for name in list_templates():
        card = load_template(name)
        if card.task in of_task and card.language == language and card.kind == "hard" and [*card.fields] == [*fields]:
            pairs.append((card.template, similar.get(card.verbalizer, of_task[card.task])))
    return pairs


def _propose(
    template: Template,
    verbalizer: AnyVerbalizer | None,
    names: Verbalizer,
    backbone: Backbone,
    max_length: int | None,
    chat_options: ChatOptions | None,
) -> Proposal:
    """The proposal with these words, or without them if they are too long or do not fit.

    Raises:
        SoftclozeError: the template does not fit the model.
    """
    if verbalizer is not None and len(names.labels) <= MOST_OPTIONS:
        with suppress(SoftclozeError):
            compiled = CompiledPrompt(template, verbalizer, backbone, max_length, "words+linear", chat_options)
            if max(map(len, compiled.words)) <= MOST_WORD_TOKENS:
                return Proposal(compiled, has_words=True)
    return Proposal(CompiledPrompt(template, names, backbone, max_length, "linear", chat_options), has_words=False)
