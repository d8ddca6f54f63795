"""Fit in the processes of torch.distributed.run: a script for them, and a function that starts it.

Usage: python -m torch.distributed.run --nproc-per-node N fit_in_processes.py FOLDER CASE …
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

EPOCHS, BATCH = 2, 5  # of 12 examples: the last batch has 2


def _cases():
    """Estimators and what they are fitted on, by name."""
    from softcloze import MultiLabelPromptClassifier, MultiTaskPrompt, PromptClassifier, PromptGenerator
    from softcloze.training import TrainingSettings
    from support import models

    words, texts = {"neg": "bad", "pos": "good"}, models.SENTENCES[:12]
    labels = ["neg", "pos", "pos"] * 4
    options = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": 0.5, "random_state": 0}
    exact = {"training__part_size": 1, "training__target_loss": 0.0}
    after, before = "<text> <soft*2> It was <mask>", "<soft*2> <text> It was <mask>"

    def classifier(source, architecture="gpt2", head="words", **training):
        clf = PromptClassifier(models.backbone(architecture), source, words, head=head, **options)
        return clf.set_params(**{"training__target_loss": 0.0, **training}), texts, labels

    def resumed(folder):
        return classifier(before, training__checkpoint=folder, **exact)

    several = MultiLabelPromptClassifier(models.backbone("bert"), before, words, **options)
    generator = PromptGenerator(models.backbone("gpt2"), "<soft*2> <text> <answer>", **options)
    members = {name: f"<soft*2 name=all> {name} <text> <mask>" for name in "ab"}
    tasks = MultiTaskPrompt(
        {name: PromptClassifier(models.backbone("gpt2"), source, words) for name, source in members.items()},
        shared="all",
        **options,
        training=TrainingSettings(part_size=1, target_loss=0.0),
    )
    stopping = {"training__early_stopping": True, "training__validation_fraction": 0.34}
    return {
        "exact": lambda folder: classifier(before, **exact),
        "cached": lambda folder: classifier(after, **exact),
        "stopping": lambda folder: classifier(before, "bert", "warp", **exact, **stopping),
        "several": lambda folder: (several.set_params(**exact), texts, [["neg"], ["pos"], ["neg", "pos"]] * 4),
        "answers": lambda folder: (generator.set_params(**exact), texts, labels),
        "tasks": lambda folder: (tasks, {"a": (texts, labels), "b": (texts[:8], labels[1:9])}),
        "linear": lambda folder: classifier("<text> It was <mask>", head="linear"),
        "default": lambda folder: classifier(after),
        "seedless": lambda folder: (classifier(before)[0].set_params(random_state=None), texts, labels),
        "resumed": resumed,
        "killed": resumed,
        "other rows": lambda folder: (classifier(before)[0], texts[int(os.environ["RANK"]) :][:8], labels[:8]),
        "too many": lambda folder: (classifier(before)[0].set_params(batch_size=2), texts, labels),
        "not finite": lambda folder: classifier(before),
        "connected before": lambda folder: classifier(before, **exact),
    }


def fit(case, folder):
    """Fit a case; return vectors and history, or the error."""
    from softcloze.errors import SoftclozeError
    from support import models

    estimator, *data = _cases()[case](folder / "progress")
    told = []
    estimator.set_params(training__on_epoch=told.append)
    if case == "killed":
        estimator.set_params(training__on_epoch=None)
        if os.environ["RANK"] == "1":
            _die_at(step=4)
    if case == "not finite" and os.environ["RANK"] == "1":
        estimator.model = models.new_backbone("gpt2")
        estimator.model.model.get_output_embeddings().weight.data.fill_(float("nan"))
    if case == "connected before":
        import torch
        from accelerate import PartialState

        PartialState(cpu=True)
    try:
        estimator.fit(*data)
    except SoftclozeError as error:
        if case == "killed":
            raise
        return {"error": f"{type(error).__name__}: {error}"}
    if case == "connected before":
        torch.distributed.destroy_process_group()  # fit leaves it
    history = [{name: value for name, value in record.items() if name != "seconds"} for record in estimator.history_]
    prompt = getattr(estimator, "shared_", None) or estimator.prompt_
    vectors = {name: vector.tolist() for name, vector in prompt.vectors.items()}
    heads = {name: tensor.tolist() for name, tensor in getattr(prompt, "head_tensors", {}).items()}
    return {
        "vectors": vectors,
        "heads": heads,
        "history": history,
        "told": len(told),
        "seed": prompt.training.get("seed"),
    }


def _die_at(step):
    """Kill this process in a step, as the system does where memory is short."""
    import torch

    take, steps = torch.optim.AdamW.step, []

    def killed(self, *arguments):
        steps.append(1)
        if len(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, *arguments)

    torch.optim.AdamW.step = killed


def results(processes, folder, *cases):
    """Fit cases in processes of torch.distributed.run.

    Returns the finished command, and by case what each process reports; nothing of "killed", the last one.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)]),
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [*launcher, __file__, str(folder), *cases]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0 or "killed" in cases, done.stderr
    reports = [json.loads((folder / f"{processes}-{rank}.json").read_text()) for rank in range(processes)]
    return done, {case: [report[case] for report in reports] for case in cases if case != "killed"}


def main():
    """Fit the cases that the arguments name, and report in a file of each process."""
    import warnings

    from softcloze.training import checkpoint

    checkpoint.SECONDS = 0
    warnings.simplefilter("ignore")
    folder, report = Path(sys.argv[1]), {}
    for case in sys.argv[2:]:
        report[case] = fit(case, folder)
        (folder / f"{os.environ['WORLD_SIZE']}-{os.environ['RANK']}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
