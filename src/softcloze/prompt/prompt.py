"""The prompt: template, label words and trained tensors, saved and loaded as one folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from safetensors.torch import save as save_tensors
from torch import Tensor

from softcloze import calibration as calibrations
from softcloze.backbone import Backbone
from softcloze.demonstrations import Demonstrations, demonstrations_from_dict
from softcloze.errors import ArtifactError
from softcloze.prompt.card import CARD, PROMPT, PromptCard, explain_damage
from softcloze.prompt.folder import Content, SavedFolder
from softcloze.prompt.soft_prompt import (
    POOL,
    SoftPrompt,
    shared_parts,
    soft_shapes,
    soft_tensors,
    validate_fingerprint,
    validate_soft_sizes,
    with_prefix,
    without_prefix,
)
from softcloze.prompt.tensors import LINEAR, Shape, check_tensors, read_tensors, tensor_file
from softcloze.scoring import States
from softcloze.template import ChatOptions, Template
from softcloze.verbalizer import VERBALIZERS, AnyVerbalizer, Verbalizer

HEAD = "head/"
# tensors of each head
HEAD_SHAPES: dict[str, dict[str, Shape]] = {
    "words": {},
    "warp": LINEAR,
    "linear": LINEAR,
    "words+linear": {"scale": (), **LINEAR},
    "prototypes": {"projection": ("dimension", "state"), "prototypes": ("labels", "dimension"), "spreads": (2,)},
    "thresholds": {"slopes": ("labels",), "thresholds": ("labels",)},
}


@dataclass(frozen=True)
class Prompt(SoftPrompt):
    """A template, its label words and its soft vectors, for one backbone.

    Attributes:
        template: the template.
        verbalizer: labels and their words.
        model: the backbone's name.
        fingerprint: its `Backbone.fingerprint`.
        vectors: block key -> input embeddings of its slots, shape (count, width), float32.
        deep: block key -> its soft vectors at later layers, shape (layers, count, layer width), float32; for blocks
            that enter there.
        prefixes: block key -> keys and values that its slots have in place of vectors, shape (layers, 2, count, heads,
            head width), float32; for a block that a causal prompt starts with.
        networks: the layers of the networks of blocks with from=, float32: "key/down", shape (bottleneck, input width);
            "key/up", shape (count, width, bottleneck), with the layer width for a block that enters at a later layer.
        head: how label scores are computed: one of `softcloze.heads.HEADS`.
        head_tensors: trained tensors of the head, by name; empty for "words".
        features: the state that a head takes: "mask", or "mean" over the tokens of all fields.
        max_length: limit in tokens that prompts are truncated to, or None for the model's own.
        chat_options: values of variables of the tokenizer's chat template, for a template with chat turns.
        demonstrations: selects demonstrations, where the template has some.
        calibration: correction of the label scores, or None.
        training: settings and history of the training; empty for a hard prompt.
        metrics: measured values, by name.
        kind: the kind of folder that holds it.
    """

    kind: ClassVar[SavedFolder] = PROMPT

    template: Template
    verbalizer: AnyVerbalizer
    model: str
    fingerprint: Mapping[str, str] = field(repr=False)
    vectors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    deep: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    prefixes: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    networks: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    head: str = "words"
    head_tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    features: States = "mask"
    max_length: int | None = None
    chat_options: ChatOptions | None = None
    demonstrations: Demonstrations | None = None
    calibration: calibrations.Calibration | None = None
    training: Mapping[str, Any] = field(default_factory=dict, repr=False)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def content(self, suffix: str = "") -> Content:
        """The content of the folder, with `suffix` in the name of the file of vectors."""
        demonstrations = self.demonstrations
        card = {
            **self._shared_entries(),
            "verbalizer": {"kind": _kind(self.verbalizer), **self.verbalizer.to_dict()},
            "head": self.head,
            "features": self.features,
            "demonstrations": demonstrations.to_dict(self.verbalizer.labels) if demonstrations is not None else None,
            "calibration": self.calibration.to_dict() if self.calibration is not None else None,
        }
        tensors = soft_tensors(self) | with_prefix(HEAD, self.head_tensors)
        if problem := _check_tensors(tensors, self.template, self.verbalizer, self.head, self.demonstrations):
            raise ArtifactError(f"this prompt cannot be saved: {problem}")
        return Content(card, {tensor_file(suffix): save_tensors(tensors)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load a prompt that `save` wrote, from its folder or from hf://USER/NAME@REVISION on a hub.

        Raises:
            ArtifactError: `path` is not a saved prompt, or a file is missing, damaged or altered, or has another
                format; names the file.
        """
        folder, card, template, verbalizer, _ = PromptCard.load(path)
        file = read_tensors(PROMPT, folder, card)
        if file is None:
            return cls.load(path)
        tensors_path, tensors = file
        with explain_damage(folder / CARD, "demonstrations"):
            demonstrations = demonstrations_from_dict(card["demonstrations"], tensors.get(POOL), template, verbalizer)
        with explain_damage(folder / CARD, "calibration"):
            calibration = calibrations.from_dict(card["calibration"]) if card["calibration"] is not None else None
            if calibration is not None:
                calibration.apply(np.zeros((1, len(verbalizer.labels))))
        if problem := _check_tensors(tensors, template, verbalizer, card["head"], demonstrations):
            raise ArtifactError(f"{tensors_path} is damaged: {problem}")
        return cls(
            template=template,
            verbalizer=verbalizer,
            head=card["head"],
            head_tensors=without_prefix(HEAD, tensors),
            features=card["features"],
            demonstrations=demonstrations,
            calibration=calibration,
            **shared_parts(card, tensors),
        )

    def to_peft(self, path: str | PathLike[str], backbone: Backbone) -> None:
        """Write the prompt as an adapter of PEFT: the vectors of prompt tuning for all that precedes the first field.

        The vectors are the input embeddings of special tokens and words, and the trained vectors of soft slots. PEFT
        puts them in front of every sequence; the rest, the tail, is tokenized without special tokens. README.md in the
        folder has the tail, the token ids of the label words, and code that computes the probabilities of this prompt.
        Vectors at later layers (`layers=`) of a causal model become keys and values of the front: PREFIX_TUNING.
        Writing needs no PEFT. For a masked model the task type is FEATURE_EXTRACTION, under which PEFT runs any model.

        Args:
            path: a new or an empty folder.
            backbone: the model of the prompt.

        Raises:
            ParameterError: an adapter cannot hold the prompt: a soft slot stands after a field or has from=, its head
                is not "words", it has a calibration, Jinja, token types, or another verbalizer than `Verbalizer`.
            ArtifactError: the prompt belongs to another model.
            BackboneError: the model runs otherwise in PEFT.
            FileError: the folder is not empty or cannot be written.

        Source:
            Lester et al., EMNLP 2021, arXiv:2104.08691 (prompt tuning), as PEFT saves it.
        """
        from softcloze.prompt.peft_export import to_peft

        to_peft(self, path, backbone)

    @classmethod
    def from_peft(
        cls,
        path: str | PathLike[str],
        tail: str,
        verbalizer: Verbalizer,
        backbone: Backbone,
        task: int | None = None,
    ) -> Self:
        """Make a prompt of an adapter that PEFT trained for prompt tuning, P-tuning or prefix tuning.

        The template is `<soft*N name=peft>` and the tail. PEFT puts its vectors in front of the special tokens that the
        tokenizer adds, as in `tokenizer(text)`, so `<bos>` or `<cls>` is written between the two where the tokenizer
        adds one. Vectors that are the embeddings of these tokens, as `to_peft` writes them, become the tokens again.
        An adapter does not say whether it was trained with them; one that was trained without takes a tokenizer that
        adds none, as from `AutoTokenizer.from_pretrained(name, add_bos_token=False)`.
        The keys and values of PREFIX_TUNING, of a causal model, are `prefixes` of the prompt, which scores, saves and
        loads as any other. They are no vectors: they cannot be trained, exported or inspected.

        Args:
            path: the folder of the adapter.
            tail: the template after the vectors, as in "<text> It was <mask>".
            verbalizer: labels and their words.
            backbone: the model that the adapter was trained on.
            task: index of the task of a MULTITASK_PROMPT_TUNING adapter.

        Raises:
            ArtifactError: the adapter is damaged, belongs to a model of another width, or is of a kind that is no such
                prompt, such as LORA.
            ParameterError: `task` is missing, out of range, or given for another kind; or the tokenizer adds a special
                token in front that no tag names.
            TemplateSyntaxError: the tail breaks a rule of the template language.
            EncodingError: the tokenizer writes the tail after the vectors in another way than by itself.

        Example:
            >>> from softcloze import Prompt, Verbalizer, load_backbone
            >>> backbone = load_backbone("starter:bert-tiny")
            >>> words = Verbalizer({"positive": "good", "negative": "bad"})
            >>> Prompt.from_peft("adapter", "<text> It was <mask>.", words, backbone)  # doctest: +SKIP
        """
        from softcloze.prompt.peft_import import from_peft

        after = Template(tail)
        after.validate_classifies()
        template, vectors, prefixes = from_peft(path, after, backbone, task, verbalizer.options)
        return cls(template, verbalizer, backbone.name, backbone.fingerprint, vectors=vectors, prefixes=prefixes)

    def validate_backbone(self, backbone: Backbone) -> None:
        """Raise ArtifactError if the prompt belongs to another backbone.

        Raises:
            ArtifactError: a part of the fingerprint, or the size of a tensor, differs; shows both values.
        """
        validate_fingerprint(self, backbone)
        states = ("weight", "projection")
        heads = {name: (self.head_tensors[name], backbone.state_width) for name in states if name in self.head_tensors}
        validate_soft_sizes(self, backbone, heads)


def _check_tensors(
    tensors: Mapping[str, Tensor],
    template: Template,
    verbalizer: AnyVerbalizer,
    head: str,
    demonstrations: Demonstrations | None,
) -> str | None:
    """Check names, types and shapes of the tensors of a prompt; return the first problem, or None."""
    expected = soft_shapes(template, demonstrations, tensors)
    expected |= {HEAD + name: shape for name, shape in HEAD_SHAPES[head].items()}
    if head == "warp" and HEAD + "bias" not in tensors:  # the output embedding of some models has none
        del expected[HEAD + "bias"]
    return check_tensors(tensors, expected, len(verbalizer.labels))


def _kind(verbalizer: AnyVerbalizer) -> str:
    # the exact class: a subclass of one kind may be another kind
    return next(kind for kind, verbalizer_class in VERBALIZERS.items() if type(verbalizer) is verbalizer_class)
