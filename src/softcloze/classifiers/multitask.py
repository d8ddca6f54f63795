"""MultiTaskPrompt: one soft block trained over several tasks, each with a prompt of its own."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import InputTags, Tags
from torch import nn

from softcloze.classifiers.fit_steps import BegunFit
from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.classifiers.start import RANDOM_STATE, Start, digest_of, start_of
from softcloze.classifiers.trained import with_history
from softcloze.data import Example
from softcloze.encoding import CompiledBlock
from softcloze.errors import DataError, ParameterError, SoftclozeError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.library import resolve_mask_template
from softcloze.parameters import NONE, Constraint, instance_of, validate_parameters
from softcloze.prompt import Prompt
from softcloze.prompt.sources import of_tasks
from softcloze.soft import SharedBlock, SoftVectors
from softcloze.template import EMBEDDING
from softcloze.training import (
    FIT_PARAMETERS,
    Checkpoint,
    Record,
    ResolvedSettings,
    TrainingSettings,
    joined_processes,
    train,
    warn_if_stuck,
)
from softcloze.verbalizer import Label


@dataclass(eq=False, repr=False)
class MultiTaskPrompt(BaseEstimator):
    """Train one soft block over several tasks with one frozen model (multitask prompt tuning).

    The vectors of a task are P ∘ (1 + u vᵀ): P belongs to all tasks; u, one number for each slot, and v, one for each
    component, to one. v starts from zero, so that every task starts with P. Each task has its template, label words,
    head and calibration in a `PromptClassifier`; other soft slots of its template are its own. After `fit` each task
    has an ordinary prompt, which scores, saves, explains and exports as any other.

    Args:
        classifiers: name of a task -> an unfitted `PromptClassifier`; `fit` trains copies of them. Their `epochs`,
            `batch_size`, `learning_rate`, `training` and `random_state` have no effect.
        shared: name of the block that the tasks share, as in `<soft*10 name=task>`; of one length in all templates. It
            starts as that of the first task.
        epochs: an epoch has as many batches as one pass over the examples of all tasks. The examples of a batch are of
            one task; a task of n examples has a share of the batches in proportion to the square root of n.
        batch_size: examples per step.
        learning_rate: as for `PromptClassifier`; for u and v the highest step of AdamW itself.
        training: other options of training, a `TrainingSettings`; None for its defaults. An interrupted fit resumes
            from `checkpoint`.
        random_state: seed of the initial vectors, of u, and of the order of tasks and examples.

    Attributes:
        classifiers_: name of a task -> its fitted `PromptClassifier`.
        prompts_: name of a task -> its `Prompt`.
        shared_: the prompt of the first task with P in place of its vectors. As `soft_init` of a classifier it starts
            another task.
        history_: one dict per epoch, of all tasks together, and "loss/NAME" of each task; see
            `softcloze.training.train`.

    Example:
        >>> from softcloze import PromptClassifier
        >>> options = {"model_options": {"dtype": "float32", "device": "cpu"}}
        >>> sentiment = PromptClassifier(
        ...     "starter:bert-tiny", "<soft*2 name=task> <text> It was <mask>.", {"-": "bad", "+": "good"}, **options
        ... )  # fmt: skip
        >>> topic = PromptClassifier(
        ...     "starter:bert-tiny", "<soft*2 name=task> <text> About <mask>.", {"film": "film", "book": "book"},
        ...     **options,
        ... )  # fmt: skip
        >>> tasks = MultiTaskPrompt({"sentiment": sentiment, "topic": topic}, random_state=0)
        >>> tasks = tasks.fit(
        ...     {
        ...         "sentiment": (["A delight.", "Dull."], ["+", "-"]),
        ...         "topic": (["A fine cast.", "A long chapter."], ["film", "book"]),
        ...     }
        ... )
        >>> tasks.classifiers_["topic"].predict(["The actors."]).shape
        (1,)

    Source:
        Multitask prompt tuning: Wang et al., ICLR 2023, arXiv:2303.02861. They multiply with u vᵀ alone, and first
        distil the prompts of single tasks; here every task starts with P, and learns from its labels.
    """

    classifiers: Mapping[str, PromptClassifier]
    _: KW_ONLY
    shared: str = "task"
    epochs: int = 3
    batch_size: int = 4
    learning_rate: float = 0.04
    training: TrainingSettings | None = None
    random_state: int | np.random.RandomState | None = None

    constraints: ClassVar[Mapping[str, Constraint]] = {
        "classifiers": Constraint(
            "a mapping from the names of two or more tasks to PromptClassifier", lambda value: _are_tasks(value)
        ),
        "shared": instance_of("the name of a soft block", str),
        **FIT_PARAMETERS,
        "training": instance_of("TrainingSettings(...)", TrainingSettings) | NONE,
        "random_state": RANDOM_STATE,
    }

    @joined_processes()
    def fit(self, tasks: Mapping[str, tuple[Iterable[Example], Iterable[Label]]]) -> Self:
        """Train the shared block and the prompts of all tasks; every weight of the model stays as it is.

        Args:
            tasks: name of a task -> its examples and labels, as `PromptClassifier.fit` takes them.

        Returns:
            The object itself.

        Raises:
            ParameterError: a template has no such block, or one that enters at later layers or has via=, from= or
                train=no, or lengths differ; names the task.
            DataError: examples of a task are missing, or the classifiers have different models.
            SoftclozeError: as `PromptClassifier.fit`, with a note that names the task.

        Warns:
            ConvergenceWarning: the training loss did not fall.
            OneSidedWarning: as `PromptClassifier.fit`, for a task.
        """
        validate_parameters(vars(self), self.constraints)
        settings = (self.training if self.training is not None else TrainingSettings()).resolved()
        settings.validate()
        self._validate_blocks()
        members = self._members(tasks)
        labelled = {}
        for name, member in members.items():
            with _in_task(name):
                labelled[name] = member._labelled(*tasks[name])
        described = [(name, *member._describe(*labelled[name])) for name, member in members.items()]
        start = start_of((type(self).__name__, self.shared, *described), settings, self.random_state)
        begun: dict[str, BegunFit] = {}
        for name, member in members.items():
            with _in_task(name):
                begun[name] = member._begin(labelled[name], start)
            self._validate_alike(begun, name)
        # the start of a block is recorded where it is that of the first task
        shared = self._share(begun, start.seed)
        training = {
            name: member._training_record(begun[name].task, start, **begun[name].record)
            for name, member in members.items()
        }
        history = self._train(begun, training, settings, start)
        warn_if_stuck(history, settings.target_loss)
        for name, member in members.items():
            member._complete(begun[name], with_history(training[name], begun[name].task, history))
        self.classifiers_, self.history_ = members, history
        first = next(iter(self.prompts_.values()))
        vectors = {**first.vectors, self.shared: shared.detach().cpu()}
        self.shared_ = replace(
            first,
            vectors=vectors,
            calibration=None,
            training={"sources": {self.shared: of_tasks([*members], None)}},
            metrics={},
        )
        return self

    @property
    def prompts_(self) -> dict[str, Prompt]:
        """The prompt of each task.

        Raises:
            NotFittedError: `fit` was not called.
        """
        if not hasattr(self, "classifiers_"):
            raise NotFittedError("the prompts of the tasks are not trained yet; call fit first")
        return {name: classifier.prompt_ for name, classifier in self.classifiers_.items()}

    def __sklearn_tags__(self) -> Tags:
        """A mapping of tasks instead of one table of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags = InputTags(two_d_array=False, dict=True)
        return tags

    def _train(
        self,
        begun: Mapping[str, BegunFit],
        training: Mapping[str, Mapping[str, Any]],
        settings: ResolvedSettings,
        start: Start,
    ) -> list[Record]:
        """Train all tasks together; return the history."""
        checkpoint = None
        if settings.checkpoint is not None:
            digests = [digest_of(training[name], fit.task, fit.compiled.verbalizer) for name, fit in begun.items()]
            checkpoint = Checkpoint(settings.checkpoint, start.key, sha256(repr(digests).encode()).hexdigest())
        return train(
            [fit.task for fit in begun.values()],
            settings,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=start.seed,
            checkpoint=checkpoint,
            names=[*begun],
        )

    def _validate_blocks(self) -> None:
        """Raise ParameterError if a template has no block to share, before a model is loaded."""
        for name, classifier in self.classifiers.items():
            blocks = {block.key: block for block in resolve_mask_template(classifier.template).blocks}
            if self.shared not in blocks:
                named = [key for key in blocks if not key.startswith("#")]
                has = quoted_list(named) if named else "none"
                raise ParameterError(
                    f"shared={self.shared!r}, and the blocks with a name in the template of task {name!r} are {has}"
                    f"{did_you_mean(self.shared, named)}; give the slots that the tasks share one name, as in "
                    f"<soft*10 name={self.shared}>"
                )
            block = blocks[self.shared]
            others = {
                f"layers={block.layers}": block.layers != EMBEDDING,
                f"via={block.via}": block.via is not None,
                f"from={block.from_}": block.from_ is not None,
                "train=no": not block.train,
            }
            if wrong := [attribute for attribute, is_set in others.items() if is_set]:
                raise ParameterError(
                    f"soft block {self.shared!r} of task {name!r} has {', '.join(wrong)}, and a shared block has "
                    "nothing but input embeddings that are trained; leave it out there, or give it to another block"
                )

    def _members(self, tasks: Mapping[str, Any]) -> dict[str, PromptClassifier]:
        """Unfitted copies of the classifiers, which train as this object does.

        Raises:
            DataError: `tasks` does not have examples and labels for each of them.
        """
        known = {*tasks} if isinstance(tasks, Mapping) else set()
        if known != {*self.classifiers}:
            raise DataError(
                f"fit takes the examples and labels of the tasks {quoted_list(self.classifiers)}, as in "
                f"fit({{{next(iter(self.classifiers))!r}: (X, y), …}}); found "
                + (f"the tasks {quoted_list(sorted(map(str, known)))}" if known else f"{tasks!r:.60}")
            )
        for name, given in tasks.items():
            if not isinstance(given, tuple | list) or len(given) != 2:
                raise DataError(f"task {name!r} needs a pair of examples and labels, as in (X, y); found {given!r:.60}")
        shared = {name: getattr(self, name) for name in (*FIT_PARAMETERS, "training", "random_state")}
        return {
            name: cast("PromptClassifier", clone(classifier)).set_params(**shared, warm_start=False)
            for name, classifier in self.classifiers.items()
        }

    def _validate_alike(self, begun: Mapping[str, BegunFit], name: str) -> None:
        """Raise if a task has another model than the first one, or a shared block of another length."""
        first_name = next(iter(begun))
        first, other = begun[first_name], begun[name]
        if other.compiled.backbone is not first.compiled.backbone:
            raise DataError(
                f"tasks {first_name!r} and {name!r} have different models, {first.compiled.backbone!r} and "
                f"{other.compiled.backbone!r}; give all of them the same name and options, or one loaded Backbone"
            )
        here, there = self._block(other).count, self._block(first).count
        if here != there:
            raise ParameterError(
                f"soft block {self.shared!r} has {here} vectors in task {name!r} and {there} in task {first_name!r}; "
                f"write <soft*{there} name={self.shared}> in both"
            )

    def _block(self, begun: BegunFit) -> CompiledBlock:
        return next(block for block in begun.compiled.template.blocks if block.key == self.shared)

    def _share(self, begun: Mapping[str, BegunFit], seed: int) -> nn.Parameter:
        """Give all tasks the vectors of the first, and return these; record it for each."""
        softs = {name: cast("SoftVectors", fit.task.soft) for name, fit in begun.items()}
        first = next(iter(softs.values()))
        shared = nn.Parameter(first.by_block()[self.shared].clone())  # not a part of the first task's own weight
        generator = torch.Generator().manual_seed(seed)
        for name, soft in softs.items():
            if not torch.equal(soft.by_block()[self.shared], shared.detach().cpu()):
                begun[name].record.pop("soft_init", None)
            sources = begun[name].record.get("sources", {})
            begun[name].record["sources"] = {**sources, self.shared: of_tasks([*begun], name)}
            soft.share(SharedBlock(self.shared, shared, generator))
        return shared


@contextmanager
def _in_task(name: str) -> Iterator[None]:
    """Name the task in a note of an error about its examples or its prompt."""
    try:
        yield
    except SoftclozeError as error:
        error.add_note(f"in task {name!r}")
        raise


def _are_tasks(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 1
        and all(isinstance(name, str) and name for name in value)
        and all(isinstance(classifier, PromptClassifier) for classifier in value.values())
    )
