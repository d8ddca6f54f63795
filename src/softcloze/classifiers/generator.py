"""PromptGenerator: a prompt on a frozen language model that writes text, as a scikit-learn estimator."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from softcloze.analysis.text_metrics import measure_texts
from softcloze.backbone import AnyModel
from softcloze.classifiers.base import read_examples
from softcloze.classifiers.generator_base import GENERATOR_INITS, GeneratorEstimator
from softcloze.classifiers.soft_init import BlockSource, SoftInit, resolve_soft_init, start_record, transfer
from softcloze.classifiers.start import seed_of, start_of
from softcloze.data import Example, mean_one, weighted_rows
from softcloze.data.examples import iterate_column, validate_collection
from softcloze.demonstrations import Demonstrations, Pool, Transformer, select_demonstrations
from softcloze.encoding import Demonstration, EncodedPrompt, summarise_cuts
from softcloze.errors import DataError
from softcloze.formatting import quoted
from softcloze.generation import validate_options, with_changes
from softcloze.heads import AnswerHead
from softcloze.prompt import BoundGenerator, CompiledGenerator
from softcloze.soft import SoftVectors, initial_vectors
from softcloze.template import ChatOptions, Template
from softcloze.training import TrainingSettings, TrainingTask, joined_processes, warn_if_stuck


@dataclass(eq=False, repr=False)
class PromptGenerator(GeneratorEstimator):
    r"""Write text with a frozen language model and a prompt template that has an <answer>.

    `fit` trains the template's soft slots on pairs of inputs and answers, and nothing else; `predict` writes. A hard
    prompt without demonstrations writes without `fit`. Literal text directly after <answer> is the stop string, which
    is learnt and cut off; without any, the model's end token ends an answer.

    Args:
        model: as for `PromptClassifier`; causal or seq2seq.
        template: a template string with an <answer>, the name of one in the library, or a `Template`.
        options: options of writing: those of transformers' `GenerationConfig` by name, as in {"num_beams": 4}; see
            `softcloze.generation.OPTIONS`. Greedy by default. The model's own generation configuration has no effect.
        demonstrations: selection of the examples that `<demos>` shows with their answers, as for `PromptClassifier`.
        soft_init: initial values of soft slots without `init=`: "template" (the words of its first literal; after a
            field that follows it a full stop), "vocabulary" (different frequent tokens of the training examples), or
            prompts with blocks of the same `name=`, as for `PromptClassifier`.
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: as for `PromptClassifier`.
        max_length: limit of a prompt with its answer in tokens; None for the model's own limit.
        chat_options: as for `PromptClassifier`.
        warm_start: continue from the vectors of the last `fit`, or of the loaded prompt.
        training: other options of training, a `TrainingSettings`; None for the defaults. Those of a generator are
            `deep_learning_rate=0.3` (docs/measurements/generation.md), and no `target_loss`, since losses are nats per
            token.
        model_options: options of `load_backbone` for a model given by name: dtype, device, compile, quantize.
        random_state: seed of the initial vectors, of the order of examples, and of texts drawn with `do_sample`.

    Attributes:
        prompt_: the trained `GeneratorPrompt`.
        backbone_: the frozen `Backbone`.
        history_: one dict per epoch; see `softcloze.training.train`.
        truncation_: summary of what `fit` truncated.
        engine_: facts about the backbone, as of `PromptClassifier`.

    Example:
        >>> gen = PromptGenerator("starter:smollm2-135m", "<text><soft*10> Summary: <answer max=40>\n", random_state=0)
        >>> gen.fit(texts, summaries).predict(["A long text."])  # doctest: +SKIP
        array(['A summary.'], dtype=object)

    Source:
        Prompt tuning of text generation: Lester et al., EMNLP 2021, arXiv:2104.08691; Li and Liang, ACL 2021,
        arXiv:2101.00190, tune prefixes for it.
    """

    model: AnyModel
    template: str | Template
    _: KW_ONLY
    options: Mapping[str, Any] | None = None
    demonstrations: str | Transformer = "random"
    soft_init: SoftInit = "template"
    epochs: int = 10
    batch_size: int = 4
    learning_rate: float = 0.3
    max_length: int | None = None
    chat_options: ChatOptions | None = None
    warm_start: bool = False
    training: TrainingSettings | None = None
    model_options: Mapping[str, Any] | None = None
    random_state: int | np.random.RandomState | None = None

    @joined_processes()
    def fit(self, X: Iterable[Example], answers: Iterable[str], sample_weight: Iterable[float] | None = None) -> Self:
        """Train the soft slots on pairs; every weight of the model stays as it is.

        Args:
            X: examples, as for `PromptClassifier.fit`.
            answers: the text that the model has to write for each; may be empty.
            sample_weight: weight of each pair, as if it occurred so often; None for equal weights. Those of weight 0
                are left out.

        Returns:
            The generator itself.

        Raises:
            ProcessError: a launcher such as torchrun started several processes.
            TemplateSyntaxError: the template does not parse, has no <answer>, or the model cannot write it.
            DataError: no examples, or answers that are no texts or not as many, or wrong weights.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example or an answer cannot be encoded; names the row.
            ParameterError: a parameter is unknown or outside its range, or does not fit the template or the examples.
            ArtifactError: a prompt of `soft_init` cannot be loaded, or belongs to another model.

        Warns:
            ConvergenceWarning: the training loss did not fall.
        """
        template = self._template()
        examples, texts = _pairs(X, answers, template)
        template.validate_varied(examples)
        used, given = weighted_rows(sample_weight, examples)
        examples, texts = [examples[i] for i in used], [texts[i] for i in used]
        forced = self._options().get("forced_bos_token_id")
        described = (*self._describe_parameters(template), forced, examples, texts, given.tolist())
        start = start_of(described, self._settings(), self.random_state)
        # a missing folder is reported before a model is loaded
        starts = template.blocks and not self._is_warm
        blocks = resolve_soft_init(self.soft_init, template, GENERATOR_INITS) if starts else "template"
        compiled = self._compile(template)
        scorer = compiled.scorer(self._options())
        generator = np.random.default_rng(start.seed)
        selector: Demonstrations | None = None
        demonstrations: Sequence[Sequence[Demonstration]] | None = None
        if template.demos is not None:
            pool = Pool.from_answers(template, examples, texts)
            count = template.demos.count
            selector, demonstrations = select_demonstrations(
                self.demonstrations, pool, count, compiled.backbone, generator
            )
        prompts = compiled.encode(examples, demonstrations, answers=texts)
        self.truncation_ = summarise_cuts(prompts)
        self._cached = None
        soft = self._initial_soft(compiled, prompts, blocks, generator)
        record = start_record(self.soft_init, blocks, self.prompt_ if self._is_warm else None)
        training: dict[str, Any] = {"seed": start.seed, **record} if soft is not None else {}
        if template.trains:
            lengths = np.array([len(prompt.answer) for prompt in prompts])
            weights = mean_one(given, lengths)
            factors = torch.tensor(weights).float() if weights is not None else None
            task = TrainingTask(soft, AnswerHead(), scorer, prompts, torch.from_numpy(lengths), factors)
            training = self._train_task(task, start, None, **record)
            warn_if_stuck(training["history"], self._settings().target_loss, "a higher learning rate")
        prompt = self._make_prompt(template, compiled.backbone, soft, selector, training)
        return self._finish(BoundGenerator(prompt, compiled.backbone, compiled), start)

    def _initial_soft(
        self,
        compiled: CompiledGenerator,
        prompts: Sequence[EncodedPrompt],
        blocks: str | dict[str, BlockSource],
        generator: np.random.Generator,
    ) -> SoftVectors | None:
        """The vectors before training; None where the template has none."""
        if self._is_warm:
            return BoundGenerator(self.prompt_, compiled.backbone, compiled).soft
        if not compiled.template.blocks:
            return None
        soft = initial_vectors(
            compiled.template,
            compiled.backbone,
            init=blocks if isinstance(blocks, str) else "template",
            prompts=prompts,
            words=[prompt.answer for prompt in prompts],
            generator=generator,
        )
        return soft if isinstance(blocks, str) else transfer(soft, blocks, compiled.backbone)

    def predict(self, X: Iterable[Example], **options: object) -> np.ndarray:
        """Write the answer of each example.

        Args:
            X: examples as for `fit`.
            options: changes of `options` for this call, as in `predict(X, max_new_tokens=20)`.

        Returns:
            Texts, shape (examples,), of dtype object. Without `do_sample`, a text does not depend on other examples.

        Raises:
            NotFittedError: soft slots or demonstrations have to be learnt first.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded; names the row.
            ParameterError: an option is unknown or has a wrong value.
        """
        changed = with_changes(self._options(), options)
        validate_options(changed)
        examples = read_examples(X, self._fitted_template())
        bound = self._bound_prompt()
        texts = bound.write(examples, changed, seed_of(self.random_state)) if examples else []
        result = np.empty(len(texts), dtype=object)
        result[:] = texts
        return result

    def stream(self, x: Example, **options: object) -> Iterator[str]:
        """Write the answer of one example piece by piece.

        Args:
            x: an example as for `fit`.
            options: as for `predict`.

        Returns:
            An iterator of texts, which are the text of `predict` together. Closing it stops the model.

        Raises:
            ParameterError: as `predict`; or several beams, which find a text as a whole.
            SoftclozeError: as `predict`.
        """
        changed = with_changes(self._options(), options)
        validate_options(changed)
        (example,) = read_examples([x], self._fitted_template())
        bound = self._bound_prompt()
        return bound.stream(example, changed, seed_of(self.random_state))

    def score(self, X: Iterable[Example], answers: Iterable[str]) -> float:
        """The chrF of the answers that the model writes, from 0 to 100.

        Args:
            X: examples as for `fit`.
            answers: the reference of each.

        Raises:
            ParameterError: sacrebleu is not installed.
            SoftclozeError: as `predict`; or answers that are no texts or not as many.

        Source:
            Popović, WMT 2015, as in sacrebleu.
        """
        examples, references = _pairs(X, answers, self._fitted_template())
        texts = self.predict(examples).tolist()
        return measure_texts("chrf", texts, [[reference] for reference in references]).total

    def log_likelihood(self, X: Iterable[Example], answers: Iterable[str]) -> NDArray[np.float64]:
        """Mean log-probability of the tokens of given answers and their end, in nats, shape (examples,).

        Raises:
            NonFiniteError: the scores of an answer are NaN or infinite; names the row.
            SoftclozeError: as `score`.
        """
        examples, texts = _pairs(X, answers, self._fitted_template())
        return self._bound_prompt().log_likelihood(examples, texts)


def _pairs(X: Iterable[Example], answers: Iterable[str], template: Template) -> tuple[list[Example], list[str]]:
    """Examples that the template can read, and their answers.

    Raises:
        DataError: no examples, or answers that are no texts or not as many; names the row.
        FieldError: an example lacks a field; names the row.
    """
    examples = read_examples(X, template)
    if not examples:
        raise DataError("examples with answers are needed, found none")
    validate_collection(answers, "answers", "a list of texts")
    texts = list(iterate_column(answers, "answers", "text"))
    if len(examples) != len(texts):
        raise DataError(f"X has {len(examples)} examples but there are {len(texts)} answers; each example needs one")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"row {row} of answers is {quoted(text)}; expected a text, which may be empty")
    return examples, texts
