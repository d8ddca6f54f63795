"""Multitask prompt tuning as a classifier of one task, which learns from as few rows of other tasks as well."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.tasks.methods import SOFT
from benchmarks.tasks.sets import TASKS, Task
from softcloze import MultiTaskPrompt, PromptClassifier, Template
from softcloze.experiments import few_shot
from softcloze.library import resolve_template
from softcloze.template import with_slots
from softcloze.verbalizer import Label


def with_shared_block(task: Task) -> Template:
    """The template of a task with the slots that all tasks share in front."""
    plain = str(with_slots(resolve_template(task.template), front=SOFT))
    return Template(plain.replace(f"<soft*{SOFT}>", f"<soft*{SOFT} name=task>"))


@dataclass(eq=False, repr=False)
class MultiTaskClassifier(PromptClassifier):
    """The prompt of one of several tasks that share a block.

    Args:
        others: names of the other tasks; as many of their rows are drawn of each class as `fit` is given.
    """

    others: tuple[str, ...] = ()

    def fit(self, X: Sequence[str], y: Sequence[Label], sample_weight: None = None) -> Self:
        """Train the prompts of all tasks, and keep that of the first."""
        own = {name: getattr(self, name) for name in PromptClassifier._get_param_names()}
        members, rows = {"own": PromptClassifier(**own)}, {"own": (X, y)}
        shots = min(Counter(y).values())
        for name in self.others:
            task = TASKS[name]
            pool = task.split().train
            chosen = few_shot(pool.labels, shots=shots, random_state=self.random_state)
            members[name] = PromptClassifier(task.model, with_shared_block(task), task.words)
            rows[name] = [pool.texts[i] for i in chosen], [pool.labels[i] for i in chosen]
        tasks = MultiTaskPrompt(members, random_state=self.random_state).fit(rows)
        self._adopt(tasks.classifiers_["own"]._bound_prompt())
        return self
