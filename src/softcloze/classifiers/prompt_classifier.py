"""PromptClassifier: a prompt on a frozen language model as a scikit-learn classifier."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, replace
from os import PathLike
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import Tensor

from softcloze.analysis import Explanation, explain, explain_prompt
from softcloze.backbone import AnyModel
from softcloze.calibration import CALIBRATIONS, content_free
from softcloze.classifiers.base import (
    PromptEstimator,
    accuracy,
    answers_of,
    class_weight_record,
    read_examples,
    training_task,
)
from softcloze.classifiers.calibrate import WITHOUT_EXAMPLES, learn_calibration
from softcloze.classifiers.one_sided import warn_if_one_sided
from softcloze.classifiers.soft_init import SOFT_INIT, BlockSource, SoftInit, resolve_soft_init, transfer
from softcloze.classifiers.trained import Start, seed_of, start_of
from softcloze.data import (
    ClassWeight,
    Example,
    as_labels,
    as_probabilities,
    example_weights,
    label_indices,
    label_verbalizer,
    validate_lengths,
    validate_several,
    weighted_rows,
)
from softcloze.demonstrations import SELECTION, Demonstrations, Pool, Transformer, select_demonstrations
from softcloze.encoding import EncodedPrompt, summarise_cuts
from softcloze.errors import DataError, ParameterError
from softcloze.heads import (
    EXACT,
    EXCLUSIVE,
    WordHead,
    fit_exact,
    initial_head,
    learn_prototypes,
)
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.lint import VerbalizerCheck, check_verbalizer, with_priors
from softcloze.parameters import BOOLEAN, NONE, Constraint, one_of
from softcloze.prompt import BoundPrompt, CompiledPrompt, TrainedParts
from softcloze.prompt.sources import copied
from softcloze.scoring import States
from softcloze.soft import initial_vectors
from softcloze.template import ChatOptions, Template
from softcloze.training import TrainingSettings, TrainingTask, hold_out, warn_if_stuck
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, RuleVerbalizer, Words


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
    selector: Demonstrations | None
    task: TrainingTask
    record: dict[str, Any]
    generator: np.random.Generator
    start: Start


@dataclass(eq=False, repr=False)
class PromptClassifier(PromptEstimator):
    r"""Classify text with a frozen language model, a prompt template and label words.

    `fit` trains the template's soft slots and, where one is asked for, a head, and nothing else. A hard prompt with
    label words has nothing to train: it predicts without `fit` when the verbalizer names the labels. With `<demos*8>`
    in the template `fit` keeps the examples and shows eight of them with each input (in-context learning).

    Args:
        model: "starter:NAME", a model name on a hub, a folder, a .gguf file, or a model in memory (see
            `load_backbone`); masked (BERT), causal (Llama) or seq2seq (T5, BART; see `softcloze.scoring.seq2seq` for
            what their decoder scores).
        template: a template string, the name of one in the library ("sentiment/zh"), or a `Template`.
        verbalizer: label -> word, words or word -> weight, the name of a table in the library, a `Verbalizer`, a
            `RuleVerbalizer` for several named masks, a `FieldVerbalizer` for words that differ from example to example,
            or None: every label is its own word.
        head: turns the model's output at the mask into label scores: "words" (scores of the label words), "linear" (a
            linear layer on the state at the mask), "words+linear" (both, added up), "warp" (a trained weight vector for
            each label in place of the vocabulary's, initialised from its label words: WARP) or "prototypes" (label
            words together with prototypes of each label that are learnt from the examples: ProtoVerb). `fit` solves the
            linear layer exactly, with an L2 penalty from cross-validation (`softcloze.heads.fit_exact`), from the
            examples and, as further examples, the first word of each label as a text; with soft slots it starts from
            this solution and is trained together with their vectors.
        features: state that the linear layer takes: "mask" (the one at the mask, from which the model predicts the
            word) or "mean" (the mean over the tokens of all fields, for head="linear" or "words+linear"). Both are
            inputs of the output embedding; "mean" of a seq2seq model are its encoder's. In a causal model "mean" does
            not depend on the text after the fields.
        demonstrations: selection of the examples that `<demos>` shows, among those given to `fit`: "random" (drawn
            once, the same for every input), "nearest" (for every input those most similar to it by the model's mean
            last hidden state, the nearest one last), or a transformer such as scikit-learn's TfidfVectorizer, whose
            vectors are compared instead.
        soft_init: initial values of soft slots without `init=`: "template" (the words of its first literal), "labels"
            (the label words) or "vocabulary" (different frequent tokens of the training examples); or a prompt, from
            which blocks of the same `name=` start (prompt transfer), the others as with "template"; or a list of
            prompts without a block in common, or a mapping from names of blocks to prompts. A prompt is a `Prompt`, a
            fitted classifier, or the folder of a saved prompt.
        calibration: correction of the label scores for what the model would answer anyway: None, "contextual" (its
            answer to texts without content), "domain" (to random words of the examples), "pmi" (to the words around
            the mask alone), "batch" (its average answer to the examples), "prototypical" (clusters of the examples'
            scores), or "temperature" (a temperature fitted on held-out examples). `fit` learns it; for a hard prompt
            without `fit`, `calibrate` does. docs/how-to/calibrate.md compares them.
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: in units of the root mean square of the model's input embeddings: the highest step of AdamW
            for soft vectors, so that one value fits models whose embeddings differ in scale.
        class_weight: weights of the classes in all that is learnt from labels: "balanced" so that every class weighs
            the same however many examples it has, None for examples of equal weight, or label -> weight, 1 for labels
            not named. With uneven classes "balanced" has the higher balanced accuracy, and None gives the frequent
            label more often: docs/measurements/defaults.md.
        max_length: limit of a prompt in tokens; None for the model's own limit.
        chat_options: values of variables of the tokenizer's chat template, for a template with chat turns, as in
            {"date": "2026-07-26"}; thinking is off unless it has "enable_thinking".
        warm_start: continue from the vectors of the last `fit`, or of the loaded prompt; see also `partial_fit`.
        training: other options of training, a `TrainingSettings`; None for its defaults. Searches reach each option
            as `training__NAME`.
        model_options: options of `load_backbone` for a model given by name: dtype, device, compile.
        random_state: seed of the initial vectors and of the order of examples.

    Attributes:
        classes_: the labels, sorted.
        prompt_: the trained `Prompt`.
        backbone_: the frozen `Backbone`.
        history_: one dict per epoch; see `softcloze.training.train`.
        truncation_: summary of what `fit` truncated.
        exact_: the last solution of a linear layer and its cross-validation, a `softcloze.heads.ExactFit`; only after a
            fit with head="linear" or "words+linear".
        engine_: facts about the backbone: precision, attention, prefix cache; see
            `softcloze.backbone.engine.RuntimeInfo`.

    Example:
        >>> clf = PromptClassifier(
        ...     model="starter:smollm2-135m",
        ...     template="<soft*10> Review: <text>\nSentiment: <mask>",
        ...     verbalizer={"positive": ["positive"], "negative": ["negative"]},
        ...     random_state=0,
        ... )
        >>> clf.fit(texts, labels).predict(["A delight."])  # doctest: +SKIP
        array(['positive'], dtype='<U8')

    Source:
        Prompt tuning: Lester et al., EMNLP 2021, arXiv:2104.08691. Templates and label words: Schick and
        Schütze, EACL 2021, arXiv:2001.07676.
    """

    _needs_several = True  # labels among the examples of a fit
    heads = EXCLUSIVE
    shared = ("model", "soft_init")  # of which prompts and fitted classifiers stay as they are
    constraints: ClassVar[Mapping[str, Constraint]] = {
        **PromptEstimator.constraints,
        "head": one_of(*EXCLUSIVE),
        "features": one_of("mask", "mean"),
        "demonstrations": SELECTION,
        "soft_init": SOFT_INIT,
        "calibration": one_of(*CALIBRATIONS) | NONE,
        "warm_start": BOOLEAN,
    }

    model: AnyModel
    template: str | Template
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None = None
    _: KW_ONLY
    head: str = "words"
    features: States = "mask"
    demonstrations: str | Transformer = "random"
    soft_init: SoftInit = "template"
    calibration: str | None = None
    epochs: int = 3
    batch_size: int = 4
    learning_rate: float = 0.04
    class_weight: ClassWeight | None = "balanced"
    max_length: int | None = None
    chat_options: ChatOptions | None = None
    warm_start: bool = False
    training: TrainingSettings | None = None
    model_options: Mapping[str, Any] | None = None
    random_state: int | np.random.RandomState | None = None

    def fit(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> Self:
        """Train the soft slots and the head; every weight of the model stays as it is.

        Args:
            X: str for a template with one field, else mappings from field names to values; a list, an array of shape
                (examples,) or (examples, 1), or a column or a frame of pandas, polars, pyarrow or datasets. A frame of
                one column has the texts of the only field, whatever their name.
            y: the label of each example, as `softcloze.data.as_labels` takes them. Numbers from 0 for a verbalizer of
                text are taken in sorted order, as scikit-learn numbers labels, with a warning.
            sample_weight: weight of each example, shape (examples,), beside that of its class; only ratios count. An
                example of weight 0 is left out. None for equal weights.

        Returns:
            The classifier itself.

        Raises:
            TemplateSyntaxError: the template does not parse.
            VerbalizerError: label words that do not distinguish the labels, or do not fit the template or the head.
            DataError: examples and labels that do not fit each other or the verbalizer.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example or a label word cannot be encoded.
            ParameterError: a parameter is unknown or outside its range, or does not fit the template or the examples.

        Warns:
            ConvergenceWarning: the training loss did not fall.
            OneSidedWarning: one label wins nearly all training examples, or inputs without content while the examples
                are guessed, with the trained prompt or without its soft slots. The training has scored the trained
                prompt; without slots 32 examples are scored. It names another prompt.
        """
        labelled = self._labelled(X, y, sample_weight)
        described = self._describe(*labelled)
        begun = self._begin(labelled, start_of(described, self._settings(), self.random_state))
        training = self._train_any(begun.compiled, begun.task, begun.start, begun.record)
        return self._complete(begun, training)

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
        record = self._start_record(soft_init)
        return BegunFit(labelled, compiled, prompts, held_out, trains, selector, task, record, generator, start)

    def _complete(self, begun: BegunFit, training: Mapping[str, Any]) -> Self:
        """Learn what follows the training, and predict with its prompt from now on."""
        _, _, examples, targets, weights = begun.labelled
        compiled, prompts, held_out, start = begun.compiled, begun.prompts, begun.held_out, begun.start
        parts = self._with_prototypes(compiled, begun.task, begun.generator)
        prompt = self._make_prompt(compiled, parts, self.head, training)
        prompt = replace(prompt, features=self.features, demonstrations=begun.selector)
        bound = BoundPrompt(prompt, compiled.backbone, compiled)
        if self.calibration is not None:
            calibration = learn_calibration(
                self.calibration,
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
            bound = BoundPrompt(replace(prompt, calibration=calibration), compiled.backbone, compiled)
        # the bias of an exact head is fitted, so that no label wins unduly
        if self._needs_several and self.head not in EXACT:
            warn_if_one_sided(bound, examples, begun.task, start.seed)
        return self._finish(bound, start)

    def partial_fit(
        self,
        X: Iterable[Example],
        y: Iterable[Label],
        classes: Iterable[Label] | None = None,
        sample_weight: Iterable[float] | None = None,
    ) -> Self:
        """Train for one epoch on more examples, from the vectors and the head as they are.

        The learning rate rises and falls within each call, and class_weight="balanced" counts its examples alone.
        `epochs`, `warm_start` and early stopping have no effect.

        Args:
            X: examples as for `fit`.
            y: the label of each example; a call may have examples of one label alone.
            classes: all labels, for the first call without a verbalizer, where its examples lack some; as elsewhere
                in scikit-learn, they may be given to every call, and with a verbalizer.
            sample_weight: weight of each example as for `fit`; only ratios within a call count.

        Returns:
            The classifier itself; `history_` is that of this call.

        Raises:
            ParameterError: a calibration, prototypes, a linear layer without soft slots to train or demonstrations,
                which are learnt from all examples at once.
            DataError: `classes` has a label that the verbalizer lacks.
            SoftclozeError: as `fit`.
        """
        self._validate_parameters()
        template, verbalizer = resolve_mask_template(self.template), resolve_verbalizer(self.verbalizer)
        solved = self.head in EXACT and not template.trains
        if self.calibration is not None or self.head == "prototypes" or template.demos is not None or solved:
            what = f"head={self.head!r} without soft slots to train" if solved else 'head="prototypes"'
            raise ParameterError(
                f"a calibration, {what} and <demos> are learnt from all examples at once; call fit with them"
            )
        step = clone(self).set_params(
            warm_start=True, epochs=1, random_state=self.random_state, training__early_stopping=False
        )
        if hasattr(self, "prompt_"):
            step.set_params(verbalizer=self.prompt_.verbalizer)._adopt(self._bound_prompt())
            verbalizer = self.prompt_.verbalizer
        if classes is not None:
            labels = as_labels(classes)
            step.verbalizer = label_verbalizer(verbalizer, labels, classes)
            label_indices(labels, step.verbalizer.labels)
        step._needs_several = False
        self._adopt(step.fit(X, y, sample_weight)._bound_prompt())
        self.truncation_, self._cached = step.truncation_, step._cached
        return self

    def fit_probabilities(
        self, X: Iterable[Example], probabilities: np.ndarray, sample_weight: Iterable[float] | None = None
    ) -> Self:
        """Train on a teacher's probabilities of the labels instead of on labels (distillation).

        The loss is the cross-entropy to them, whose minimum is their own entropy and not 0: mind `target_loss`.

        Args:
            X: examples as for `fit`; they need no labels.
            probabilities: of each label in the order of the verbalizer's `labels`, shape (examples, labels).
            sample_weight: weight of each example as for `fit`.

        Returns:
            The classifier itself.

        Raises:
            DataError: no examples, probabilities of another shape or that do not sum to 1, or a classifier that
                learns from labels alone: without a verbalizer, with demonstrations, prototypes or a calibration.
            SoftclozeError: as `fit`.

        Source:
            Hinton et al. 2015, arXiv:1503.02531.
        """
        self._validate_parameters()
        template, verbalizer = resolve_mask_template(self.template), resolve_verbalizer(self.verbalizer)
        examples = read_examples(X, template)
        template.validate_varied(examples)
        if (
            verbalizer is None
            or template.demos is not None
            or self.head == "prototypes"
            or self.calibration is not None
        ):
            raise DataError(
                "fit_probabilities has no labels, and a classifier without a verbalizer, with <demos>, "
                'head="prototypes" or a calibration needs labels; call fit with some, or do without'
            )
        targets = as_probabilities(probabilities, len(examples), verbalizer)
        used, given = weighted_rows(sample_weight, examples)
        examples, targets = [examples[i] for i in used], targets[used]
        weights = example_weights(self.class_weight, verbalizer.labels, targets.double().numpy(), given)
        described = self._describe(template, verbalizer, examples, targets, weights)
        start = start_of(described, self._settings(), self.random_state)
        soft_init, compiled = self._prepare(template, verbalizer)
        prompts = compiled.encode(examples)
        self.truncation_ = summarise_cuts(prompts)
        generator = np.random.default_rng(start.seed)
        task = self._task(compiled, prompts, targets, weights, soft_init, generator, start)
        training = self._train_any(compiled, task, start, self._start_record(soft_init))
        parts = TrainedParts(task.soft, task.head)
        prompt = replace(self._make_prompt(compiled, parts, self.head, training), features=self.features)
        return self._finish(BoundPrompt(prompt, compiled.backbone, compiled), start)

    def calibrate(self, X: Iterable[Example] = ()) -> Self:
        """Learn the calibration from examples without labels, and nothing else.

        Args:
            X: examples like those that will be predicted; "contextual" and "pmi" need none.

        Returns:
            The classifier itself.

        Raises:
            ParameterError: `calibration` is None, or "temperature", which `fit` learns from labels; or it needs more
                examples.
            DataError: no examples, and the calibration needs some.
            NotFittedError: the prompt has to be fitted first.
            FieldError: an example lacks a field; names the row.

        Example:
            >>> clf = PromptClassifier(
            ...     "starter:bert-tiny", "<text> It was <mask>.", {"pos": "good", "neg": "bad"}, calibration="batch"
            ... )
            >>> clf.calibrate(["A delight.", "A bore."]).predict(["A delight."]).shape
            (1,)
        """
        self._validate_parameters()
        if self.calibration is None:
            raise ParameterError('calibration=None learns nothing; choose one, such as calibration="batch"')
        if self.calibration == "temperature":
            raise ParameterError('calibration="temperature" is learnt from labelled examples; call fit')
        examples = read_examples(X, resolve_mask_template(self.template))
        if not examples and self.calibration not in WITHOUT_EXAMPLES:
            raise DataError(f"calibration={self.calibration!r} is learnt from examples, found none")
        try:  # a prompt without trained parts follows the parameters, which may have changed since the last call
            prompt, backbone = self._unfitted_prompt(*self._hard_prompt(calibrated=False))
        except NotFittedError:
            prompt, backbone = self._prompt(calibrated=False)
        bound = BoundPrompt(replace(prompt, calibration=None), backbone)
        calibration = learn_calibration(
            self.calibration,
            bound,
            examples=examples,
            scores=lambda: bound.scores(examples),
            targets=(),
            seed=seed_of(self.random_state),
        )
        self._adopt(BoundPrompt(replace(bound.prompt, calibration=calibration), bound.backbone, bound.compiled))
        return self

    def decision_function(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Label log-scores in nats before normalisation.

        Args:
            X: examples as for `predict`.

        Returns:
            Shape (batch, labels) in the order of `classes_`, each row up to a constant; with two labels, as in
            scikit-learn, the score of the second less that of the first, shape (batch,).

        Raises:
            NotFittedError: as `predict`.
        """
        scores = self._scores(X)[1]
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """The most probable label of each example, shape (batch,).

        Raises:
            NotFittedError: soft slots, a head, demonstrations or a calibration have to be learnt first.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded; names the row.
        """
        examples = self._examples(X)
        bound, scores = self._scores(examples)
        return answers_of(bound, examples, scores.argmax(1))

    def score(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> float:
        """Accuracy on labelled examples.

        Args:
            X: examples as for `predict`.
            y: labels as for `fit`.
            sample_weight: weight of each example, shape (batch,); None for equal ones.

        Raises:
            DataError: a missing label, or one that the verbalizer lacks.
            SoftclozeError: as `predict`.
        """
        examples = self._examples(X)
        verbalizer = resolve_verbalizer(self.verbalizer)
        if not isinstance(verbalizer, FieldVerbalizer):
            return accuracy(self.predict, examples, y, self.classes_.tolist(), sample_weight)
        labels = as_labels(y)
        validate_lengths(examples, labels)
        best = np.asarray(self.classes_)

        def predicted(rows: list[Example]) -> np.ndarray:
            found: np.ndarray = best[self._scores(rows)[1].argmax(1)]
            return found

        return accuracy(predicted, examples, verbalizer.indices(examples, labels), best.tolist(), sample_weight)

    def explain(self, example: Example, top: int = 10) -> Explanation:
        """Explain the decision for one example: tables in the terminal and in notebooks.

        They show the label words and, with head="linear" or "words+linear", the part of the linear layer in each
        label's score.

        Args:
            example: an example as for `predict`.
            top: number of the likeliest words of the whole vocabulary to name, at most.

        Raises:
            NotFittedError: as `predict`.
            FieldError: the example lacks a field.
            ParameterError: `top` is below 0, or rules or another head decide.
        """
        return explain_prompt(self._bound_prompt(), example, top)

    def check(self) -> VerbalizerCheck:
        """Check the label words with the model: their tokens, and their probabilities on content-free input.

        Returns:
            A table for the terminal and for notebooks, with the findings of `softcloze.lint.lint` and one more: a
            warning where one label wins on content-free input ("N/A", "[MASK]" and the empty text), unless a
            calibration corrects that. The probabilities are those before any calibration; they are left out where a
            finding is an error, or rules or a head decide instead of label words.

        Raises:
            NotFittedError: soft slots, a head or demonstrations have to be learnt first.
        """
        prompt, backbone = self._prompt(calibrated=False)
        limit = min(prompt.max_length or backbone.max_length, backbone.max_length)
        checked = check_verbalizer(
            prompt.verbalizer, backbone.prompt_tokenizer, prompt.template, limit, prompt.chat_options
        )
        if not checked.works or prompt.head != "words" or isinstance(prompt.verbalizer, RuleVerbalizer):
            return checked
        bound = self._bound_prompt(calibrated=False)
        prompts = bound.encode(content_free(prompt.template))
        explanations = explain(bound.compiled, prompts, bound.parts.soft, top=0)
        calibrated = prompt.calibration is not None or self.calibration is not None
        return with_priors(checked, prompt.template, explanations, calibrated=calibrated)

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
        """Train what there is to train; return the record of the training, with that of the start of soft vectors."""
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
        record: dict[str, Any] = {}
        if isinstance(self.soft_init, str | PathLike):
            record["soft_init"] = str(self.soft_init)
        if self._is_warm:
            sources = self.prompt_.training.get("sources", {})
        else:
            blocks = soft_init if isinstance(soft_init, dict) else {}
            sources = {key: copied(source.origin, source.prompt.vectors[key]) for key, source in blocks.items()}
        return record | ({"sources": sources} if sources else {})

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

    def _validate_parameters(self) -> None:
        super()._validate_parameters()
        if isinstance(self.verbalizer, FieldVerbalizer) and self.calibration is not None:
            raise ParameterError(
                f"calibration={self.calibration!r} is learnt for labels with the same words in every example, and a "
                "FieldVerbalizer has others in each; leave it out"
            )
        if self.features == "mean" and self.head not in EXACT:
            raise ParameterError(
                f'features="mean" is for a linear layer, and head={self.head!r} has none that takes it; choose '
                f"head={' or '.join(map(repr, EXACT))}"
            )

    def _hard_prompt(self, *, calibrated: bool) -> tuple[Template, AnyVerbalizer]:
        self._validate_parameters()
        template = resolve_mask_template(self.template)
        if template.blocks:
            raise NotFittedError(
                f"the soft slots of {str(template)!r} are not trained yet; call fit first, or take them out to "
                "predict with the hard prompt alone"
            )
        if self.head != "words":
            raise NotFittedError(f"head={self.head!r} learns from labelled examples; call fit first")
        if template.demos is not None:
            raise NotFittedError(
                f"the demonstrations of {str(template)!r} are selected among the examples given to fit; call fit "
                "first, or take them out to predict without"
            )
        verbalizer = resolve_verbalizer(self.verbalizer)
        if verbalizer is None:
            raise NotFittedError("without a verbalizer the labels are not known before fit; give one, or call fit")
        if calibrated and self.calibration == "temperature":
            raise NotFittedError("a temperature is learnt from labelled examples; call fit first")
        if calibrated and self.calibration is not None:
            raise NotFittedError(
                f"calibration={self.calibration!r} is not learnt yet; call calibrate with examples, or fit with "
                "labelled ones, first"
            )
        return template, verbalizer

    # as a member of an ensemble

    def _bound_member(self) -> BoundPrompt:
        return self._bound_prompt()

    def _fields(self) -> tuple[str, ...]:
        """The fields of an example."""
        return resolve_mask_template(self.template).fields

    def _read(self, examples: Sequence[Example]) -> list[Example]:
        """The examples, each of which the template can read."""
        return read_examples(examples, resolve_mask_template(self.template))

    def _labels_of(self, labels: Sequence[Label], y: object) -> tuple[Label, ...]:
        """The labels after a fit to these."""
        return tuple(label_verbalizer(resolve_verbalizer(self.verbalizer), labels, y).labels)


def bound_prompts(classifiers: Sequence[PromptClassifier]) -> list[BoundPrompt]:
    """Compiled prompts of classifiers with one backbone, as they predict with them.

    Raises:
        NotFittedError: a classifier has to learn something first, such as its calibration.
        DataError: the classifiers have different backbones.
    """
    bound = [classifier._bound_prompt() for classifier in classifiers]
    validate_one_backbone(bound)
    return bound


def validate_one_backbone(prompts: Sequence[BoundPrompt]) -> None:
    """Raise DataError if prompts have different backbones."""
    for other in prompts:
        if other.backbone is not prompts[0].backbone:
            raise DataError(f"the classifiers have different backbones: {prompts[0].backbone!r} and {other.backbone!r}")
