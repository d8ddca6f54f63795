"""PromptClassifier: a prompt on a frozen language model as a scikit-learn classifier."""

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from softcloze.backbone import AnyModel
from softcloze.calibration import CALIBRATIONS
from softcloze.classifiers.base import PromptEstimator, read_examples
from softcloze.classifiers.calibrate import WITH_LABELS, WITHOUT_EXAMPLES, learn_calibration
from softcloze.classifiers.fit_steps import FitSteps
from softcloze.classifiers.one_label import OneLabelMixin
from softcloze.classifiers.soft_init import SoftInit, soft_init_constraint
from softcloze.classifiers.start import seed_of, start_of
from softcloze.data import (
    ClassWeight,
    Example,
    as_labels,
    as_probabilities,
    example_weights,
    label_indices,
    label_verbalizer,
    weighted_rows,
)
from softcloze.demonstrations import SELECTION, Transformer
from softcloze.encoding import summarise_cuts
from softcloze.errors import DataError, ParameterError
from softcloze.heads import EXACT, EXCLUSIVE
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.parameters import BOOLEAN, NONE, Constraint, one_of
from softcloze.prompt import BoundPrompt, TrainedParts
from softcloze.scoring import States
from softcloze.soft import INITS
from softcloze.template import ChatOptions, Template
from softcloze.training import TrainingSettings, joined_processes
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, Words


@dataclass(eq=False, repr=False)
class PromptClassifier(OneLabelMixin, FitSteps):
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
        features: state that the linear layer takes: "mask" (the one at the mask) or "mean" (the mean over the tokens of
            all fields, for head="linear" or "words+linear"). For these heads both are inputs of the last layer in a
            causal model, else of the output embedding; "mean" of a seq2seq model is of its encoder's last states. In a
            causal model "mean" does not depend on the text after the fields.
        demonstrations: selection of the examples that `<demos>` shows, among those given to `fit`: "random" (drawn
            once, the same for every input), "nearest" (for every input those most similar to it by the model's mean
            last hidden state, the nearest one last), or a transformer such as scikit-learn's TfidfVectorizer, whose
            vectors are compared instead.
        soft_init: initial values of soft slots without `init=`: "template" (the words of its first literal; after a
            field that follows it a full stop), "labels" (the label words) or "vocabulary" (different frequent tokens
            of the training examples); or a prompt, from which blocks of the same `name=` start (prompt transfer), the
            others as with "template"; or a list of prompts without a block in common, or a mapping from names of
            blocks to prompts. A prompt is that of a classifier or generator, which may be fitted, in memory or a saved
            folder.
        calibration: correction of the label scores for what the model would answer anyway: "auto" ("labels" for a
            soft prompt whose label words, before the training, tell the labels apart and yet are worse than equal
            probabilities of the labels, else none), None, "contextual" (its
            answer to texts without content), "domain" (to random words of the examples), "pmi" (to the words around
            the mask alone), "batch" (its average answer to the examples), "labels" (what their labels say:
            intercepts of a logistic regression), "prototypical" (clusters of the examples' scores), or "temperature" (a
            temperature fitted on held-out examples). `fit` learns it; for a hard prompt without `fit`, `calibrate` does
            without labels. A soft prompt learns "labels" before its training, which leaves the bias out, if the label
            words tell the labels apart, and all others after it. docs/how-to/calibrate.md compares them.
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

    heads = EXCLUSIVE
    shared = ("model", "soft_init")  # of which prompts and fitted classifiers stay as they are
    constraints: ClassVar[Mapping[str, Constraint]] = {
        **PromptEstimator.constraints,
        "head": one_of(*EXCLUSIVE),
        "features": one_of("mask", "mean"),
        "demonstrations": SELECTION,
        "soft_init": soft_init_constraint(*INITS),
        "calibration": one_of("auto", *CALIBRATIONS) | NONE,
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
    calibration: str | None = "auto"
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

    @joined_processes()
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
            ProcessError: a launcher such as torchrun started several processes.
            TemplateSyntaxError: the template does not parse.
            VerbalizerError: label words that do not distinguish the labels, or do not fit the template or the head.
            DataError: examples and labels that do not fit each other or the verbalizer.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example or a label word cannot be encoded.
            ParameterError: a parameter is unknown or outside its range, or does not fit the template or the examples.

        Warns:
            ConvergenceWarning: the training loss did not fall.
            OneSidedWarning: one label wins nearly all training examples, or inputs without content while the examples
                are guessed, with the trained prompt or without its soft slots; or the training leaves the examples
                with a far higher log loss than equal probabilities have. The training has scored the trained prompt;
                without slots 32 examples are scored. It names another prompt, or a calibration.
        """
        labelled = self._labelled(X, y, sample_weight)
        described = self._describe(*labelled)
        begun = self._begin(labelled, start_of(described, self._settings(), self.random_state))
        training = self._train_any(begun.compiled, begun.task, begun.start, begun.record)
        return self._complete(begun, training)

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
        learnt = self._chosen_calibration is not None or (
            hasattr(self, "prompt_") and self.prompt_.calibration is not None
        )
        if learnt or self.head == "prototypes" or template.demos is not None or solved:
            what = f"head={self.head!r} without soft slots to train" if solved else 'head="prototypes"'
            raise ParameterError(
                f"a calibration, {what} and <demos> are learnt from all examples at once; call fit with them"
            )
        step = clone(self).set_params(
            warm_start=True,
            epochs=1,
            calibration=None,
            random_state=self.random_state,
            training__early_stopping=False,
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

    @joined_processes()
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
            or self._chosen_calibration is not None
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
            ParameterError: `calibration` is None or "auto"; or "labels" or "temperature", which `fit` learns; or it
                needs more examples.
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
        method = self._chosen_calibration
        if method is None:
            raise ParameterError(
                f'calibration={self.calibration!r} learns nothing here; choose one, such as calibration="batch"'
            )
        if method in WITH_LABELS:
            raise ParameterError(f"calibration={method!r} is learnt from labelled examples; call fit")
        examples = read_examples(X, resolve_mask_template(self.template))
        if not examples and method not in WITHOUT_EXAMPLES:
            raise DataError(f"calibration={method!r} is learnt from examples, found none")
        try:  # a prompt without trained parts follows the parameters, which may have changed since the last call
            prompt, backbone = self._unfitted_prompt(*self._hard_prompt(calibrated=False))
        except NotFittedError:
            prompt, backbone = self._prompt(calibrated=False)
        bound = BoundPrompt(replace(prompt, calibration=None), backbone)
        calibration = learn_calibration(
            method,
            bound,
            examples=examples,
            scores=lambda: bound.scores(examples),
            targets=(),
            seed=seed_of(self.random_state),
        )
        self._adopt(BoundPrompt(replace(bound.prompt, calibration=calibration), bound.backbone, bound.compiled))
        return self

    def _validate_parameters(self) -> None:
        super()._validate_parameters()
        if isinstance(self.verbalizer, FieldVerbalizer) and self._chosen_calibration is not None:
            raise ParameterError(
                f"calibration={self.calibration!r} is learnt for labels with the same words in every example, and a "
                "FieldVerbalizer has others in each; leave it out"
            )
        if self.features == "mean" and self.head not in EXACT:
            raise ParameterError(
                f'features="mean" is for a linear layer, and head={self.head!r} has none that takes it; choose '
                f"head={' or '.join(map(repr, EXACT))}"
            )
