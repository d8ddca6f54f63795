"""Steps of a fit of PromptClassifier: the checked examples, the initial parts, and all that follows the training."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softcloze.calibration import Calibration, LabelBias
from softcloze.classifiers.base import PromptEstimator, class_weight_record, read_examples, training_task
from softcloze.classifiers.calibrate import learn_calibration, starting_bias
from softcloze.classifiers.one_sided import warn_if_one_sided
from softcloze.classifiers.soft_init import BlockSource, SoftInit, resolve_soft_init, start_record, transfer
from softcloze.classifiers.start import Start
from softcloze.data import (
    Example,
    as_labels,
    example_weights,
    label_indices,
    label_verbalizer,
    validate_lengths,
    validate_several,
    weighted_rows,
)
from softcloze.demonstrations import Demonstrations, Pool, Transformer, select_demonstrations
from softcloze.encoding import EncodedPrompt, summarise_cuts
from softcloze.errors import DataError
from softcloze.heads import EXACT, WordHead, fit_exact, initial_head, learn_prototypes
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.prompt import BoundPrompt, CompiledPrompt, TrainedParts
from softcloze.scoring import States
from softcloze.soft import initial_vectors
from softcloze.template import Template
from softcloze.training import TrainingTask, hold_out, processes, warn_if_stuck
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label


class Labelled(NamedTuple):
    """The checked examples of a fit, known before a model is loaded.

    Attributes:
        template: the template.
        verbalizer: with its labels.
        examples: those of a weight above 0.
        targets: index of each example's label.
        weights: factor of each example's loss; None for 1.
    """

    template: Template
    verbalizer: AnyVerbalizer
    examples: list[Example]
    targets: list[int]
    weights: NDArray[np.float64] | None


class BegunFit(NamedTuple):
    """A fit before its training.

    Attributes:
        labelled: its examples.
        compiled: template and label words on the model.
        prompts: the encoded examples.
        held_out: indices of the examples from which a calibration is learnt.
        trains: whether soft vectors or a head are trained.
        bias: of the label words, which the training leaves out; None for none.
        selector: selects demonstrations, where the template has some.
        task: what is trained, and the examples for it.
        record: the start of soft vectors, for the record of the training.
        generator: source of randomness.
        start: seed, and key of the checkpoint.
    """

    labelled: Labelled
    compiled: CompiledPrompt
    prompts: list[EncodedPrompt]
    held_out: list[int]
    trains: bool
    bias: LabelBias | None
    selector: Demonstrations | None
    task: TrainingTask
    record: dict[str, Any]
    generator: np.random.Generator
    start: Start


class FitSteps(PromptEstimator):
    """Steps of a fit, which `PromptClassifier` takes one after the other, and `MultiTaskPrompt` for all tasks.

    `_labelled` checks the examples before a model is loaded, `_begin` compiles the prompt and makes the initial parts,
    and `_complete` learns what follows the training.
    """

    head: str
    features: States
    demonstrations: str | Transformer
    soft_init: SoftInit
    calibration: str | None
    warm_start: bool

    _needs_several = True  # labels among the examples of a fit

    def _labelled(
        self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None
    ) -> Labelled:
        """Check parameters, examples and labels, before a model is loaded; raises as `fit`."""
        self._validate_parameters()
        template = resolve_mask_template(self.template)
        examples = read_examples(X, template)
        template.validate_varied(examples)
        if not examples:
            raise DataError("fit needs at least one example, found none")
        labels = as_labels(y)
        validate_lengths(examples, labels)
        verbalizer = label_verbalizer(resolve_verbalizer(self.verbalizer), labels, y)
        if isinstance(verbalizer, FieldVerbalizer):
            labels = [*verbalizer.indices(examples, labels)]
        targets = label_indices(labels, verbalizer.labels)
        used, given = weighted_rows(sample_weight, examples)
        examples, labels, targets = [examples[i] for i in used], [labels[i] for i in used], [targets[i] for i in used]
        if self._needs_several and not isinstance(verbalizer, FieldVerbalizer):
            validate_several(labels)
        goals = np.eye(len(verbalizer.labels))[targets]
        weights = example_weights(self.class_weight, verbalizer.labels, goals, given)
        return Labelled(template, verbalizer, examples, targets, weights)

    def _begin(self, labelled: Labelled, start: Start) -> BegunFit:
        """Compile the prompt, select demonstrations, encode the examples, and make the initial parts."""
        template, verbalizer, examples, targets, weights = labelled
        soft_init, compiled = self._prepare(template, verbalizer)
        generator = np.random.default_rng(start.seed)
        selector, demonstrations = None, None
        if template.demos is not None:
            pool = Pool.from_examples(template, examples, targets, verbalizer.first_words)
            selector, demonstrations = select_demonstrations(
                self.demonstrations, pool, template.demos.count, compiled.backbone, generator
            )
        prompts = compiled.encode(examples, demonstrations)
        self.truncation_ = summarise_cuts(prompts)

        chosen = held_out = list(range(len(prompts)))  # to train on, and to learn a temperature from
        trains = template.trains or self.head not in ("words", *EXACT)
        if trains and self.calibration == "temperature":
            chosen, held_out = hold_out(targets, self._settings().validation_fraction, start.seed)
        task = self._task(
            compiled,
            [prompts[i] for i in chosen],
            [targets[i] for i in chosen],
            weights[chosen] if weights is not None else None,
            soft_init,
            generator,
            start,
        )
        bias = self._starting_bias(compiled, task, start) if template.trains else None
        if bias is not None:
            task = replace(task, bias=torch.tensor(bias.bias))
        record = self._start_record(soft_init)
        return BegunFit(labelled, compiled, prompts, held_out, trains, bias, selector, task, record, generator, start)

    def _starting_bias(self, compiled: CompiledPrompt, task: TrainingTask, start: Start) -> LabelBias | None:
        """The bias of the label words that a training leaves out, as the training that it continues did."""
        verbalizer = compiled.verbalizer
        words = self.head == "words" and not isinstance(verbalizer, FieldVerbalizer)
        if not words or self.calibration not in ("auto", "labels"):
            return None
        before = self.prompt_.calibration if self._is_warm else None
        if isinstance(before, LabelBias) and before.method == "labels" and len(before.bias) == len(verbalizer.labels):
            return before
        learn = partial(starting_bias, compiled, task, start.seed, slight=self.calibration == "labels")
        bias = processes().first_value(learn)
        return LabelBias("labels", tuple(bias)) if bias is not None else None

    @property
    def _chosen_calibration(self) -> str | None:
        """The calibration that was asked for; None if a fit is to decide."""
        return self.calibration if self.calibration != "auto" else None

    def _complete(self, begun: BegunFit, training: Mapping[str, Any]) -> Self:
        """Learn what follows the training, and predict with its prompt from now on."""
        _, _, examples, targets, weights = begun.labelled
        compiled, prompts, held_out, start = begun.compiled, begun.prompts, begun.held_out, begun.start
        parts = self._with_prototypes(compiled, begun.task, begun.generator)
        prompt = self._make_prompt(compiled, parts, self.head, training)
        prompt = replace(prompt, features=self.features, demonstrations=begun.selector)
        bound = BoundPrompt(prompt, compiled.backbone, compiled)
        calibration: Calibration | None = begun.bias
        if calibration is None and self._chosen_calibration is not None:
            calibration = learn_calibration(
                self._chosen_calibration,
                bound,
                examples=examples,
                scores=lambda: (
                    self.exact_.log_probabilities
                    if self.calibration == "temperature" and self.head in EXACT and not begun.trains
                    else bound.label_scores(bound.features([prompts[i] for i in held_out]))
                ),
                targets=[targets[i] for i in held_out],
                weights=weights[held_out] if weights is not None else None,
                seed=start.seed,
            )
        if calibration is not None:
            bound = BoundPrompt(replace(prompt, calibration=calibration), compiled.backbone, compiled)
        # the bias of an exact head is fitted, so that no label wins unduly
        if self._needs_several and self.head not in EXACT:
            warn_if_one_sided(bound, examples, begun.task, start.seed)
        return self._finish(bound, start)

    def _prepare(
        self, template: Template, verbalizer: AnyVerbalizer
    ) -> tuple[str | dict[str, BlockSource], CompiledPrompt]:
        """Resolve `soft_init`, and compile the prompt."""
        # a missing folder is reported before a model is loaded
        starts = template.blocks and not self._is_warm
        soft_init = resolve_soft_init(self.soft_init, template) if starts else "template"
        compiled = CompiledPrompt(
            template, verbalizer, self._load_backbone(), self.max_length, self.head, self.chat_options, self.features
        )
        return soft_init, compiled

    @property
    def _is_warm(self) -> bool:
        return self.warm_start and hasattr(self, "prompt_")

    def _task(
        self,
        compiled: CompiledPrompt,
        prompts: Sequence[EncodedPrompt],
        targets: Sequence[int] | Tensor,
        weights: NDArray[np.float64] | None,
        soft_init: str | dict[str, BlockSource],
        generator: np.random.Generator,
        start: Start,
    ) -> TrainingTask:
        """Soft vectors and head before training, a linear layer solved, with the examples."""
        parts = self._initial_parts(compiled, prompts, soft_init, generator)
        self._cached = None
        if self.head in EXACT and isinstance(parts.head, WordHead):
            features = compiled.features([*prompts, *compiled.encode_labels()], parts.soft)
            self.exact_ = fit_exact(
                self.head,
                compiled.verbalizer,
                features[: len(prompts)],
                targets,
                weights=weights,
                label_features=features[len(prompts) :],
                seed=start.seed,
            )
            parts = parts._replace(head=deepcopy(self.exact_.head))
        return training_task(compiled, parts, prompts, targets, weights)

    def _train_any(
        self, compiled: CompiledPrompt, task: TrainingTask, start: Start, record: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Train soft slots and head, if there are any; return the record of both and of the initial vectors."""
        training: dict[str, Any] = {}
        if compiled.template.template.trains or self.head == "warp":
            training = self._train(compiled, task, start, **record)
            warn_if_stuck(training["history"], self._settings().target_loss)
        elif self.head in EXACT:
            training = {"examples": len(task.prompts), "seed": start.seed, "strength": self.exact_.strength}
            training |= class_weight_record(self.class_weight)
        if task.soft is not None:
            training |= {"seed": start.seed, **record}
        return training

    def _start_record(self, soft_init: str | dict[str, BlockSource]) -> dict[str, Any]:
        """The start of soft vectors, for the record of a training."""
        return start_record(self.soft_init, soft_init, self.prompt_ if self._is_warm else None)

    def _with_prototypes(
        self, compiled: CompiledPrompt, task: TrainingTask, generator: np.random.Generator
    ) -> TrainedParts:
        """The trained parts, with prototypes where they are the head."""
        if self.head != "prototypes":
            return TrainedParts(task.soft, task.head)
        features = compiled.features(task.prompts, task.soft)
        head = learn_prototypes(compiled.verbalizer, features, task.targets, generator, task.weights)
        return TrainedParts(task.soft, head)

    def _initial_parts(
        self,
        compiled: CompiledPrompt,
        prompts: Sequence[EncodedPrompt],
        soft_init: str | dict[str, BlockSource],
        generator: np.random.Generator,
    ) -> TrainedParts:
        """Soft vectors and head before training; the label words for a head that is learnt from features."""
        head = initial_head(self.head, compiled.verbalizer, compiled.words, compiled.backbone)
        if self._is_warm:
            learnt = BoundPrompt(self.prompt_, compiled.backbone, compiled).parts
            before = (self.prompt_.head, self.prompt_.features, self.prompt_.verbalizer.labels)
            same = before == (self.head, self.features, compiled.verbalizer.labels)
            trained = self.head == "warp" or (self.head in EXACT and compiled.template.template.trains)
            return learnt if trained and same else learnt._replace(head=head)
        soft = None
        if compiled.template.blocks:
            soft = initial_vectors(
                compiled.template,
                compiled.backbone,
                init=soft_init if isinstance(soft_init, str) else "template",
                prompts=prompts,
                words=compiled.words or [word for prompt in prompts for word in prompt.choices],
                generator=generator,
            )
            if not isinstance(soft_init, str):
                soft = transfer(soft, soft_init, compiled.backbone)
        return TrainedParts(soft, head)
