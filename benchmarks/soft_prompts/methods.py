"""The kinds of soft prompts by name, with label words alone and LoRA beside them."""

from collections.abc import Callable

from sklearn.base import BaseEstimator

from benchmarks.soft_prompts.multitask import MultiTaskClassifier, with_shared_block
from benchmarks.soft_prompts.prefix_tuning import PrefixTuningClassifier
from benchmarks.tasks.methods import SOFT, Family
from benchmarks.tasks.sets import GEMMA, SMOLLM2, Task
from softcloze import PromptClassifier, Template
from softcloze.experiments import FineTunedClassifier
from softcloze.library import resolve_template
from softcloze.template import with_slots

MIDDLE = {SMOLLM2: 15, GEMMA: 9}  # half of the layers
# of which the first two others share a block with a task
OTHERS = {SMOLLM2: ("movie-reviews", "tweets-3", "banking-en"), GEMMA: ("headlines-zh", "questions-zh")}
# attributes of the slots in front
KINDS = {
    "plain": "",
    "deep, add": " layers=all",
    "deep, replace": " layers=all mode=replace",
    "late": " layers={middle}",
    "mlp": " via=mlp",
    "lstm": " via=lstm",
    "from": " from=text",
}


def template_of(kind: str, task: Task) -> Template:
    """The template of a task with slots of a kind in front."""
    plain = str(with_slots(resolve_template(task.template), front=SOFT))
    attributes = KINDS[kind].format(middle=MIDDLE[task.model])
    return Template(plain.replace(f"<soft*{SOFT}>", f"<soft*{SOFT}{attributes}>"))


def _soft(kind: str) -> Callable[[Task], BaseEstimator]:
    return lambda task: PromptClassifier(task.model, template_of(kind, task), task.words)


def _multitask(task: Task) -> BaseEstimator:
    """Three tasks of the task's model share the slots in front."""
    others = tuple(name for name in OTHERS[task.model] if name != task.name)[:2]
    return MultiTaskClassifier(task.model, with_shared_block(task), task.words, others=others)


FAMILIES = {
    "words": Family({"words": lambda task: PromptClassifier(task.model, task.template, task.words)}, draws=3),
    "soft": Family({kind: _soft(kind) for kind in KINDS}, draws=3, shared=False),
    "prefix tuning": Family(
        {"prefix tuning": lambda task: PrefixTuningClassifier(task.model, task.template, task.words, length=SOFT)},
        draws=3,
        shared=False,
    ),
    "lora": Family({"lora": lambda task: FineTunedClassifier(task.model, trained="lora")}, draws=3, shared=False),
    "multitask": Family({"multitask": _multitask}, draws=3, shared=False),
}
METHODS = tuple(name for family in FAMILIES.values() for name in family.methods)
