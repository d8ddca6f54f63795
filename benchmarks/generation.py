"""Soft prompts that write beside hard prompts and two demonstrations: the tables of docs/measurements/generation.md.

Usage: python -m benchmarks.generation --out DIR [--tasks …] [--methods …] [--draws 5] [--minutes 60]
       python -m benchmarks.generation --out DIR --render

A cell is one method on one draw of 32 training pairs; what the folder has is not measured again, so the command
resumes. --minutes ends it before the cell that would begin later. --render writes the tables into the page.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.tasks.tables import markdown_table, write_tables
from softcloze import Backbone, PromptGenerator, load_backbone
from softcloze.experiments import (
    GenerationComparison,
    GenerationEvaluation,
    compare_generation,
    evaluate_draws,
    generation_metrics,
)
from softcloze.files import write_text
from softcloze.formatting import counted
from softcloze.training import TrainingSettings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "generation.md"
DATA = ROOT / "examples" / "data"
METHODS = ("soft", "hard", "two demonstrations")
JSON = ("json_valid", "json_exact", "json_fields")


@dataclass(frozen=True)
class Task:
    """Pairs of inputs and answers, and the prompts for them.

    Attributes:
        file: of the pairs; the last `held_out` of them are written, and the training pairs are drawn from the others.
        held_out: number of pairs.
        model: that writes.
        soft: template with slots, which starts from nothing but the input and the name of the answer.
        hard: template that says in words what to write.
        metrics: of the texts; the first one decides.
        parameters: of the soft prompt's generator, if not the defaults.
    """

    file: str
    held_out: int
    model: str
    soft: str
    hard: str
    metrics: tuple[str, ...]
    parameters: tuple[tuple[str, Any], ...] = ()

    def templates(self) -> dict[str, str]:
        """The template of each method."""
        task = self.hard.index("<text>")
        line = self.hard.rindex("\n", 0, task) + 1
        demonstrations = f'{self.hard[:line]}<demos*2 sep="\\n">{self.hard[line:]}'
        return {"soft": self.soft, "hard": self.hard, "two demonstrations": demonstrations}

    def pairs(self) -> list[dict[str, str]]:
        """All pairs, in the order of the file."""
        return [json.loads(line) for line in (DATA / self.file).read_text(encoding="utf-8").splitlines()]


ORDERS = "Message: <text>\nJSON: <answer max=64>\n"
SUMMARY = "Text: <text>\nSummary: <answer max=48>\n"
CHINESE = "English: <text>\nChinese: <answer max=48>\n"
TASKS = {
    "bookings as JSON": Task(
        "orders_to_json.jsonl",
        48,
        "starter:smollm2-135m",
        "<soft*8 layers=all>Message: <text>\nJSON: <answer max=64>\n",
        f'Write the booking as JSON with "name", "people", "day", "time" (as in 19:30) and "note", or null.\n{ORDERS}',
        (*JSON, "chrf"),
        (("epochs", 8), ("learning_rate", 0.1)),
    ),
    "enquiries as JSON": Task(
        "enquiries_to_json.jsonl",
        48,
        "starter:smollm2-135m",
        "<soft*8 layers=all>Message: <text>\nJSON: <answer max=64>\n",
        f'Write the enquiry as JSON with "order", "item", "city" and "wants": "refund", "exchange", "repair" or '
        f'"information".\n{ORDERS}',
        (*JSON, "chrf"),
        (("epochs", 8), ("learning_rate", 0.1)),
    ),
    "summaries": Task(
        "summaries.jsonl",
        24,
        "starter:smollm2-135m",
        "Text: <text>\n<soft*8 layers=all>Summary: <answer max=48>\n",
        f"Summarise the text in one sentence.\n{SUMMARY}",
        ("chrf", "rougeL"),
        (("epochs", 4), ("learning_rate", 0.1)),
    ),
    "English to Chinese": Task(
        "translations_en_zh.jsonl",
        32,
        "starter:gemma3-270m",
        "English: <text>\n<soft*8 layers=all>Chinese: <answer max=48>\n",
        f"Translate the sentence into Chinese.\n{CHINESE}",
        ("chrf", "rougeL"),
        (("epochs", 4), ("learning_rate", 0.1)),
    ),
}


@dataclass(frozen=True)
class Cell:
    """The texts of a method after one draw, and all that they depend on."""

    template: str
    parameters: dict[str, Any]
    held_out: int
    seconds: float
    predictions: list[str]

    def matches(self, task: Task, method: str) -> bool:
        """Return True if the task still has the same settings."""
        now = task.templates()[method], settings(task, method), task.held_out
        return now == (self.template, self.parameters, self.held_out)


def settings(task: Task, method: str) -> dict[str, Any]:
    """Parameters of the generator that affect the result."""
    if method != "soft":
        return {}
    generator = PromptGenerator(task.model, task.soft, **dict(task.parameters))
    names = ("epochs", "batch_size", "learning_rate", "soft_init")
    training = generator.training or TrainingSettings(**generator.training_defaults)
    return {name: getattr(generator, name) for name in names} | training.to_dict()


class Cells:
    """The cells of a folder, one file each."""

    def __init__(self, folder: Path):
        """Read and write cells in `folder`."""
        self.folder = folder

    def path(self, task: str, method: str, seed: int) -> Path:
        """The file of a cell."""
        return self.folder / f"{task}, {method}, {seed}.json".replace(" ", "-")

    def read(self, task: str, method: str, seed: int) -> Cell | None:
        """A cell; None if it is not measured with these settings."""
        path = self.path(task, method, seed)
        cell = Cell(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
        return cell if cell is not None and cell.matches(TASKS[task], method) else None

    def write(self, task: str, method: str, seed: int, cell: Cell) -> None:
        """Keep a cell."""
        write_text(self.path(task, method, seed), json.dumps(asdict(cell), ensure_ascii=False, indent=1))

    def measure(self, backbone: Backbone, name: str, method: str, seed: int) -> None:
        """Fit a method on the draw of `seed`, and keep what it writes."""
        task = TASKS[name]
        pairs, template = task.pairs(), task.templates()[method]
        train, test = pairs[: -task.held_out], pairs[-task.held_out :]
        parameters = dict(task.parameters) if method == "soft" else {}
        generator = PromptGenerator(backbone, template, **parameters)
        texts, answers = [[pair["text"] for pair in part] for part in (train, test)], [pair["answer"] for pair in train]
        started = time.process_time()
        (evaluation,) = evaluate_draws(
            generator, texts[0], answers, texts[1], [pair["answer"] for pair in test], task.metrics, seeds=[seed]
        )
        seconds = time.process_time() - started
        cell = Cell(template, settings(task, method), task.held_out, round(seconds, 1), list(evaluation.predictions))
        self.write(name, method, seed, cell)
        figures = ", ".join(f"{score.metric} {score.value:.3f}" for score in evaluation.scores)
        print(f"{time.strftime('%H:%M:%S')} {name}, {method}, draw {seed}: {figures}; {seconds:.0f} s", flush=True)

    def comparison(self, name: str, draws: int) -> tuple[GenerationComparison, dict[str, float]] | None:
        """The methods of a task on the draws that all of them have, and the seconds of a cell of each."""
        task = TASKS[name]
        test = task.pairs()[-task.held_out :]
        references, inputs = [pair["answer"] for pair in test], [pair["text"] for pair in test]
        cells = {
            method: {
                seed: cell for seed in seeds_of(method, draws) if (cell := self.read(name, method, seed)) is not None
            }
            for method in METHODS
        }
        if not all(cells.values()):
            return None
        shared = set.intersection(*(set(of) for method, of in cells.items() if method != "hard"))
        evaluations: dict[str, list[GenerationEvaluation]] = {
            method: [
                generation_metrics(of[seed].predictions, references, task.metrics)
                for seed in sorted(of if method == "hard" else shared)
            ]
            for method, of in cells.items()
        }
        seconds = {method: sum(cell.seconds for cell in of.values()) / len(of) for method, of in cells.items()}
        return compare_generation(evaluations, inputs), seconds


def seeds_of(method: str, draws: int) -> range:
    """The draws of a method; a hard prompt without demonstrations learns nothing."""
    return range(1 if method == "hard" else draws)


def tables(cells: Cells, draws: int) -> str:
    """Prompts, metrics, differences and texts of each task that is measured."""
    parts = []
    for name, task in TASKS.items():
        measured = cells.comparison(name, draws)
        if measured is None:
            continue
        comparison, seconds = measured
        count = len(comparison.methods["soft"])
        parts += [f"### {name[0].upper()}{name[1:]}", f"{_facts(task)} {counted(count, 'draw')}."]
        rows = [[method, "`{}`".format(template.replace("\n", "\\n"))] for method, template in task.templates().items()]
        parts.append(markdown_table(["method", "template"], rows))
        rows = [
            [
                method,
                len(comparison.methods[method]),
                *(_spread(comparison, method, metric) for metric in task.metrics),
                f"{seconds[method]:.0f}",
            ]
            for method in METHODS
        ]
        parts.append(markdown_table(["method", "draws", *task.metrics, "processor seconds of a draw"], rows))
        rows = [[metric, *(_difference(comparison, metric, other) for other in METHODS[1:])] for metric in task.metrics]
        parts.append(markdown_table(["soft minus", *METHODS[1:]], rows))
        if "json_fields" in task.metrics:
            rows = []
            for method, draws_of in comparison.methods.items():
                fields = [evaluation.fields() for evaluation in draws_of]
                rows.append([method, *(f"{sum(of[field] for of in fields) / len(fields):.3f}" for field in fields[0])])
            parts.append(markdown_table(["right", *fields[0]], rows))
        side = comparison.side_by_side(3)
        lines = []
        for row, reference in enumerate(side.references):
            texts = {"input": (side.inputs or ())[row], "reference": reference}
            texts |= {method: written[row] for method, written in side.texts.items()}
            lines += [f"{label:<19} {text}".rstrip() for label, text in texts.items()] + [""]
        parts.append("```text\n" + "\n".join(lines[:-1]) + "\n```")
    return "\n\n".join(parts) + "\n"


def _facts(task: Task) -> str:
    parameters = ", ".join(f"`{name}={value}`" for name, value in task.parameters)
    return f"{task.model}, `{task.file}`, {task.held_out} held-out rows, {parameters} for the soft prompt."


def _spread(comparison: GenerationComparison, method: str, metric: Any) -> str:  # noqa: ANN401 - a name from the table
    spread = comparison.spread(method, metric)
    digits = 1 if metric == "chrf" else 3
    deviation = "" if spread.sd is None else f" ± {spread.sd:.{digits}f}"
    return f"{spread.mean:.{digits}f}{deviation}"


def _difference(comparison: GenerationComparison, metric: Any, other: str) -> str:  # noqa: ANN401 - as above
    (difference,) = (pair for pair in comparison.differences(metric, baseline=other) if pair.method == "soft")
    digits = 1 if metric == "chrf" else 3
    low, high = (f"{end:+.{digits}f}" for end in (difference.low, difference.high))
    return f"{difference.mean:+.{digits}f} ({low} to {high})"


def main() -> None:
    """Measure the cells that are missing, or render the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the cells")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60.0, help="no cell begins later")
    parser.add_argument("--render", action="store_true", help=f"only write the tables into {PAGE.name}")
    given = parser.parse_args()
    cells = Cells(given.out)
    if given.render:
        write_tables(PAGE, tables(cells, given.draws))
        return
    given.out.mkdir(parents=True, exist_ok=True)
    started, backbones = time.monotonic(), {}
    # whole draws first, so that a study that was ended early compares all methods on as many
    for seed in range(given.draws):
        for name in given.tasks:
            for method in given.methods:
                if seed not in seeds_of(method, given.draws) or cells.read(name, method, seed) is not None:
                    continue
                if time.monotonic() - started > 60 * given.minutes:
                    print("the time is spent; the same command resumes", flush=True)
                    return
                model = TASKS[name].model
                if model not in backbones:
                    backbones[model] = load_backbone(model)
                cells.measure(backbones[model], name, method, seed)


if __name__ == "__main__":
    main()
