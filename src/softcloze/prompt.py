"""The prompt: what is trained, saved, versioned and shared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from softcloze import calibration as calibrations
from softcloze.atomic import replacing_folder
from softcloze.backbone import Backbone
from softcloze.card import ArtifactError, read_card, read_saved, write_card
from softcloze.demonstrations import Demonstrations, pack, unpack
from softcloze.encoding import CompiledTemplate, Demonstration, EncodedPrompt, Example
from softcloze.heads import HEADS, Head, HeadError, load_head
from softcloze.scoring import Scorer, plan_rules
from softcloze.soft import SoftVectors
from softcloze.template import Options, Template, read_fields
from softcloze.template.errors import listed
from softcloze.verbalizer import KINDS, AnyVerbalizer, RuleVerbalizer, Verbalizer, VerbalizerError

CARD = "prompt.json"
VECTORS = "vectors.safetensors"
POOL = "demonstrations/vectors"  # with a "/", no soft block can have this name
HEAD = "head/"


@dataclass(frozen=True)
class Prompt:
    """A template, its label words and its soft vectors, for one backbone.

    Attributes:
        template: the template.
        verbalizer: labels and their words.
        model: the backbone's name.
        fingerprint: what `Backbone.fingerprint` gave for it.
        vectors: block key -> soft vectors, shape (count, width), float32.
        head: how label scores are read: one of `softcloze.heads.HEADS`.
        head_tensors: what the head learnt, by name; empty for "words".
        max_length: the limit in tokens that prompts were cut to, or None for the model's own.
        demonstrations: what chooses demonstrations, where the template shows some.
        calibration: what corrects the label scores, if anything does.
        training: settings and history of the training; empty for a hard prompt.
        metrics: whatever was measured with it, by name.
    """

    template: Template
    verbalizer: AnyVerbalizer
    model: str
    fingerprint: Mapping[str, str]
    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    head: str = "words"
    head_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    max_length: int | None = None
    demonstrations: Demonstrations | None = None
    calibration: calibrations.Calibration | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write a folder with `prompt.json` and `vectors.safetensors`, all at once.

        Args:
            path: the folder; one that is there already is replaced if it holds a prompt.

        Raises:
            ArtifactError: something else is at `path`.
            DemonstrationError: a transformer chooses the demonstrations, which only a pickle could hold.
        """
        folder = Path(path).expanduser()
        if folder.exists() and not (folder / CARD).is_file():
            raise ArtifactError(f"{folder} is there already and holds no prompt; choose another place")
        tensors, shown = {**self.vectors, **{HEAD + name: own for name, own in self.head_tensors.items()}}, None
        if self.demonstrations is not None:
            shown, pool_vectors = pack(self.demonstrations, self.verbalizer.labels)
            if pool_vectors is not None:
                tensors[POOL] = pool_vectors
        vectors = save_tensors(tensors)
        card = {
            "template": str(self.template),
            "verbalizer": {"kind": _kind(self.verbalizer), **self.verbalizer.as_card()},
            "head": self.head,
            "model": self.model,
            "fingerprint": dict(self.fingerprint),
            "max_length": self.max_length,
            "demonstrations": shown,
            "calibration": self.calibration.as_dict() if self.calibration is not None else None,
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            "vectors_sha256": sha256(vectors).hexdigest(),
        }
        with replacing_folder(folder) as draft:
            (draft / VECTORS).write_bytes(vectors)
            write_card(draft / CARD, card)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing, truncated or altered, or was written by a later version; names it.
        """
        folder = Path(path).expanduser()
        card = read_card(folder / CARD, "prompt")
        vectors = read_saved(folder / VECTORS, "prompt")
        if sha256(vectors).hexdigest() != card["vectors_sha256"]:
            raise ArtifactError(f"{folder / VECTORS} is truncated or altered: its checksum no longer fits")
        try:
            tensors = load_tensors(vectors)
        except SafetensorError as error:
            raise ArtifactError(f"{folder / VECTORS} is damaged: {error}") from error
        verbalizer = KINDS[card["verbalizer"]["kind"]].from_card(card["verbalizer"])
        shown, pool_vectors = card["demonstrations"], tensors.pop(POOL, None)
        return cls(
            template=Template(card["template"]),
            verbalizer=verbalizer,
            model=card["model"],
            fingerprint=card["fingerprint"],
            vectors={name: own for name, own in tensors.items() if not name.startswith(HEAD)},
            head=card["head"],
            head_tensors={name.removeprefix(HEAD): own for name, own in tensors.items() if name.startswith(HEAD)},
            max_length=card["max_length"],
            demonstrations=unpack(shown, pool_vectors, verbalizer.labels, verbalizer.first_words) if shown else None,
            calibration=calibrations.from_dict(card["calibration"]) if card["calibration"] is not None else None,
            training=card["training"],
            metrics=card["metrics"],
        )

    def bind(self, backbone: Backbone) -> "BoundPrompt":
        """Template and label words on `backbone`; raises what `BoundPrompt` does."""
        return BoundPrompt(self.template, self.verbalizer, backbone, self.max_length, self.head)

    def parts(self, bound: "BoundPrompt") -> "Parts":
        """What the prompt learnt, in the order in which `bound` reads it."""
        soft = None
        if bound.compiled.blocks:
            soft = SoftVectors.from_blocks(bound.compiled.blocks, self.vectors).to(bound.scorer.backbone.device)
        return Parts(soft, load_head(self.head, self.verbalizer, self.head_tensors))

    def demonstrations_for(
        self, examples: Sequence[Example], backbone: Backbone
    ) -> Sequence[Sequence[Demonstration]] | None:
        """What is shown with each of `examples`; None where the template shows nothing.

        Raises:
            FieldError: an example lacks a field; names the row.
        """
        if self.demonstrations is None:
            return None
        values = [read_fields(self.template, example, row) for row, example in enumerate(examples)]
        return self.demonstrations.of_inputs(values, backbone)

    def calibrated(self, scores: np.ndarray) -> np.ndarray:
        """Label log-scores in nats, shape (batch, labels), as the calibration corrects them where there is one."""
        return self.calibration.apply(scores) if self.calibration is not None else scores

    def check_backbone(self, backbone: Backbone) -> None:
        """Refuse a backbone that the vectors were not trained for.

        Raises:
            ArtifactError: shows both fingerprints.
        """
        for part, expected in self.fingerprint.items():
            found = backbone.fingerprint[part]
            if found != expected:
                raise ArtifactError(
                    f"this prompt belongs to another {part}\n"
                    f"  saved with {self.model}: {expected}\n"
                    f"  found in {backbone.name}: {found}\n"
                    "load it with the model it was trained on, or fit it again"
                )


class Parts(NamedTuple):
    """What training moves."""

    soft: SoftVectors | None
    head: Head


class BoundPrompt:
    """A template and label words on a backbone, ready to score examples.

    Attributes:
        compiled: the compiled template.
        words: token ids of each label word; none for rules, and for a linear head.
        scorer: reads what the head needs.
        verbalizer: labels and their words.
    """

    def __init__(
        self,
        template: Template,
        verbalizer: AnyVerbalizer,
        backbone: Backbone,
        max_length: int | None,
        head: str = "words",
    ):
        """Bind template and label words to `backbone` and check that they fit it.

        Raises:
            EncodingError: a label word is unknown to the vocabulary.
            VerbalizerError: label words that this vocabulary cannot tell apart, or for other masks than the template's,
                or fewer than the template or the head takes.
            HeadError: the head reads a state, and there are several masks, or text behind that of a causal model.
        """
        _check_every_label(template, verbalizer, head)
        limit = min(backbone.max_length, max_length) if max_length is not None else backbone.max_length
        self.compiled = CompiledTemplate(template, backbone.vocabulary, limit, options=verbalizer.options)
        self.verbalizer = verbalizer
        if isinstance(verbalizer, RuleVerbalizer):
            self.words: list[tuple[int, ...]] = []
            self.scorer = _rule_scorer(verbalizer, self.compiled, backbone, head)
        else:
            self.words, self.scorer = _word_scorer(verbalizer, self.compiled, backbone, head)

    def encode(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Demonstration]] | None = None
    ) -> list[EncodedPrompt]:
        """Encode examples, each with its own demonstrations, with room for the longest label word or conjunction."""
        answer = max(map(len, self.scorer.words), default=1)
        return self.compiled.encode(examples, answer_length=answer, demonstrations=demonstrations)

    def features(self, prompts: Sequence[EncodedPrompt], softs: Sequence[SoftVectors | None]) -> Tensor:
        """What heads read, with each set of soft vectors, shape (sets, batch, features), on the CPU."""
        weights = [soft.weight.detach() if soft is not None else None for soft in softs]
        with self.scorer.backbone.frozen():
            return self.scorer.all(prompts, weights)

    def label_scores(self, prompts: Sequence[EncodedPrompt], parts: Sequence[Parts]) -> Tensor:
        """Log-scores of labels with each set of trained parts.

        Returns:
            Nats, up to a constant per prompt, shape (sets, batch, labels), on the CPU.
        """
        features = self.features(prompts, [own.soft for own in parts])
        with torch.no_grad():
            scores = [own.head.label_scores(found) for own, found in zip(parts, features, strict=True)]
        return torch.stack(scores)


def _check_every_label(template: Template, verbalizer: AnyVerbalizer, head: str) -> None:
    """Refuse what takes a word for each label where not each has one."""
    shown = template.demos is not None or any(isinstance(node, Options) for node in template.nodes)
    if (shown or head in ("soft", "thresholds")) and not verbalizer.first_words:
        what = f"{str(template)!r} shows" if shown else f"head={head!r} takes"
        raise VerbalizerError(
            f"{what} a word for each label, and {verbalizer!r} has words for two of them; "
            "give every label a word in a Verbalizer, or do without"
        )


def _word_scorer(
    verbalizer: Verbalizer, compiled: CompiledTemplate, backbone: Backbone, head: str
) -> tuple[list[tuple[int, ...]], Scorer]:
    """Token ids of the label words, and what scores them, or reads the state, at the one mask."""
    masks, reads = compiled.template.masks, HEADS[head]
    if len(masks) > 1:
        raise VerbalizerError(
            f"the template has masks named {listed(mask.name for mask in masks)}, and label words are for one mask; "
            "say what stands at each of them for every label with a RuleVerbalizer"
        )
    if reads.state and backbone.family == "causal" and compiled.has_right:
        raise HeadError(
            f"head={head!r} reads the state at the mask, where a causal model has not seen the text behind it; "
            'put <mask> at the end of the template, or use head="words"'
        )
    words = [compiled.word_ids(word) for word in verbalizer.all_words] if head != "linear" else []
    if reads.words:
        # a word that begins with another's tokens may still be likely enough for a threshold of its own
        verbalizer.check_tokens(words, chained=compiled.chained and not reads.normalised)
    scorer = Scorer(
        backbone,
        compiled,
        words if reads.words else [],
        verbalizer.lengths(words) if reads.words else None,
        verbalizer.fill,
        normalised=reads.normalised,
        states=reads.state,
    )
    return words, scorer


def _rule_scorer(verbalizer: RuleVerbalizer, compiled: CompiledTemplate, backbone: Backbone, head: str) -> Scorer:
    """What scores conjunctions at all masks together."""
    if head != "words":
        raise HeadError(f'head={head!r} is for one mask; with a RuleVerbalizer use head="words"')
    names = verbalizer.check_masks([mask.name for mask in compiled.template.masks])
    ids = {
        (name, word): compiled.word_ids(word, name)
        for own in verbalizer.words
        for name, words in zip(verbalizer.masks, own, strict=True)
        for word in words
    }
    conjunctions = [tuple(ids[name, words[name]] for name in names) for words in verbalizer.conjunctions]
    verbalizer.check_tokens(conjunctions, chained=compiled.chained)
    plan = plan_rules(backbone, conjunctions, has_right=compiled.has_right)
    return Scorer(backbone, compiled, plan.words, plan=plan)


def _kind(verbalizer: AnyVerbalizer) -> str:
    # a subclass may be a kind of its own
    return next(kind for kind, of_kind in KINDS.items() if type(verbalizer) is of_kind)
