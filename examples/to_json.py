"""Free text to a fixed JSON form: a soft prompt against a hard prompt and two demonstrations.

    python examples/to_json.py                enquiries to a shop, five minutes or so on one core
    python examples/to_json.py --task orders  bookings of a table, whose times must be converted

Five draws of training pairs: `python -m benchmarks.generation`, docs/measurements/generation.md.
"""

import argparse
import json
from pathlib import Path

from rich import print

from softcloze import PromptGenerator, load_backbone
from softcloze.experiments import compare_generation, evaluate_generation

DATA = Path(__file__).parent / "data"
FORMS = {
    "enquiries": 'Write the enquiry as JSON with "order", "item", "city" and '
    '"wants": "refund", "exchange", "repair" or "information".\n',
    "orders": 'Write the booking as JSON with "name", "people", "day", "time" (as in 19:30) and "note", or null.\n',
}
PAIR = "Message: <text>\nJSON: <answer max=64>\n"


def main() -> None:
    """Fit each prompt on the same 32 pairs, and compare what they write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=FORMS, default="enquiries")
    parser.add_argument("--model", default="starter:smollm2-135m")
    parser.add_argument("--epochs", type=int, default=8, help="passes of the soft prompt over the training pairs")
    parser.add_argument("--rows", type=int, default=24, help="held-out messages")
    parser.add_argument("--report", type=Path, help="page to write the comparison to")
    given = parser.parse_args()

    form = FORMS[given.task]
    templates = {
        "soft": f"<soft*8 layers=all>{PAIR}",
        "hard": form + PAIR,
        "two demonstrations": f'{form}<demos*2 sep="\\n">{PAIR}',
    }
    file = DATA / f"{given.task}_to_json.jsonl"
    pairs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    train, test = ([pair for pair in pairs if pair["split"] == split] for split in ("train", "test"))
    test = test[-given.rows :]  # settings were chosen by the first orders
    messages, references = [pair["text"] for pair in test], [pair["answer"] for pair in test]
    backbone, evaluations = load_backbone(given.model), {}
    for name, template in templates.items():
        generator = PromptGenerator(backbone, template, epochs=given.epochs, learning_rate=0.1, random_state=0)
        generator.fit([pair["text"] for pair in train], [pair["answer"] for pair in train])
        metrics = ["json_valid", "json_exact", "json_fields", "chrf"]
        evaluations[name] = evaluate_generation(generator, messages, references, metrics)
    comparison = compare_generation(evaluations, messages)
    print(comparison)
    for difference in comparison.differences("json_exact", baseline="two demonstrations"):
        interval = f"{difference.low:+.0%} to {difference.high:+.0%}"
        print(f"{difference.method}: every field right on {difference.mean:+.0%} ({interval}) of the rows")
    print(comparison.side_by_side(4))
    if given.report is not None:
        print(f"report: {comparison.report(given.report)}")


if __name__ == "__main__":
    main()
