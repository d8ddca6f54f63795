"""中文指令：软提示让冻结的 Gemma 3 270M 按范例的方式作答，与硬提示对比。

Short Chinese instructions: a soft prompt has a frozen Gemma answer them, beside a hard prompt.

    python examples/instructions_zh.py            单核几分钟 / a few minutes on one core
"""

import argparse
import json
from pathlib import Path

from rich import print

from softcloze import PromptGenerator, load_backbone
from softcloze.experiments import compare_generation, evaluate_generation

DATA = Path(__file__).parent / "data" / "instructions_zh.jsonl"
TASK = "指令：<instruction>\n<input>\n回答：<answer max=48>\n###"
TEMPLATES = {"soft": f"<soft*8 layers=all>{TASK}", "hard": f"按照指令作答，只写答案，然后写 ###。\n{TASK}"}


def main() -> None:
    """Fit the soft prompt on 32 pairs, and compare what both prompts write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("--model", default="starter:gemma3-270m")
    parser.add_argument(
        "--epochs", type=int, default=4, help="软提示遍历训练样本的轮数 / passes over the training pairs"
    )
    parser.add_argument("--rows", type=int, default=16, help="留出的指令数 / held-out instructions")
    given = parser.parse_args()

    pairs = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    train, test = ([pair for pair in pairs if pair["split"] == split] for split in ("train", "test"))
    test = test[-given.rows :]
    references = [pair["answer"] for pair in test]
    backbone, evaluations = load_backbone(given.model), {}
    for name, template in TEMPLATES.items():
        generator = PromptGenerator(backbone, template, epochs=given.epochs, learning_rate=0.1, random_state=0)
        generator.fit(train, [pair["answer"] for pair in train])
        evaluations[name] = evaluate_generation(generator, test, references, ["chrf", "rougeL", "perplexity"])
        print(name, evaluations[name])
    comparison = compare_generation(
        evaluations, [{name: pair[name] for name in ("instruction", "input")} for pair in test]
    )
    for metric in ("chrf", "rougeL"):
        (difference,) = comparison.differences(metric)
        print(f"{metric}: {difference.mean:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})")
    print(comparison.side_by_side(6))


if __name__ == "__main__":
    main()
