"""The table of what an automatic choice tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from softcloze.automatic.cost import PredictionCost
from softcloze.automatic.trials import Trial
from softcloze.display import Block, Column, Displayable, Styled, Table
from softcloze.formatting import counted, mean_sd, one_line, percent
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A way to classify that was tried.

    Attributes:
        template: the template; of a linear layer on sentence embeddings, the fields and the encoder.
        head: as for `PromptClassifier`.
        features: as for `PromptClassifier`, or "embedding" of a sentence encoder.
        examples: number of examples that it was judged by.
        log_loss: in cross-validation, in nats.
        accuracy: in cross-validation; a share of the examples, or of their weights.
        tokens: that the model computes to predict a text with it alone, in the mean over some examples; of a linear
            layer on sentence embeddings, those of the encoder.
        is_chosen: the result has it.
    """

    template: str
    head: str
    features: str
    examples: int
    log_loss: float
    accuracy: float
    tokens: float
    is_chosen: bool

    @classmethod
    def of(cls, trial: Trial, *, is_chosen: bool) -> Self:
        """The record of a trial."""
        prompt, examples = trial.prompt, len(trial.targets)
        judged = examples, trial.log_loss, trial.accuracy, trial.tokens
        return cls(prompt.description, prompt.head, prompt.features, *judged, is_chosen)

    @property
    def way(self) -> str:
        """The head, and the state that it takes if it is not the one at the mask."""
        return self.head if self.features == "mask" else f"{self.head}, {self.features}"


@dataclass(frozen=True, slots=True)
class Trials(Displayable):
    """All trials of an automatic choice; `print`, `rich.print` and notebooks show them as a table.

    Attributes:
        records: the trials; those on more examples first, and of these the one with the least log loss.
        seconds: duration of the choice.
        left_out: number of templates that the budget left no time for.
        labels: the labels.
        cost: of predictions with the result.
    """

    records: tuple[TrialRecord, ...]
    seconds: float
    left_out: int
    labels: tuple[Label, ...]
    cost: PredictionCost

    def content(self) -> Sequence[Block]:
        """The table and how to read it."""
        style = {True: "bold green", False: ""}
        columns = [
            Column("", ["✓" if record.is_chosen else "" for record in self.records]),
            Column(
                "log loss",
                [Styled(mean_sd(record.log_loss), style[record.is_chosen]) for record in self.records],
                is_number=True,
            ),
            Column("accuracy", [percent(record.accuracy) for record in self.records], is_number=True),
            Column("examples", [f"{record.examples:,}" for record in self.records], is_number=True),
            Column("tokens", [f"{record.tokens:,.0f}" for record in self.records], is_number=True),
            Column("head", [record.way for record in self.records], wrap="never"),
            Column("template", [one_line(record.template) for record in self.records]),
        ]
        chosen = sum(record.is_chosen for record in self.records)
        lines = [
            f"{counted(len(self.records), 'trial')} in {self.seconds:.0f} s, {chosen} chosen. Log loss, in nats, and "
            "accuracy are from cross-validation, and optimistic for the chosen ones, which were selected by them. "
            "Tokens are those that the model computes to predict a text."
        ]
        seconds = self.cost.seconds
        took = ""
        if seconds is not None:
            took = f", about {f'{seconds:,.0f}' if seconds >= 10 else f'{seconds:.2g}'} s per 100 texts here"
        lines.append(f"Predictions read {self.cost.tokens:,.0f} tokens per text{took}.")
        if self.left_out:
            lines.append(f"The budget left no time for {counted(self.left_out, 'further template')}.")
        return [Table(columns, "Trials"), *lines]

    def report(self, path: str | Path) -> Path:
        """Write the trials as one HTML file without scripts or references to other files.

        Raises:
            ParameterError: `path` is not a path.
            FileError: the file cannot be written.
        """
        from softcloze.report.trials_page import write_trials_report

        return write_trials_report(self, path)
