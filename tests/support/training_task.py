"""A small training task: sentences of the corpus, a template, label words and initial vectors."""

import pytest
import torch

from softcloze.encoding import CompiledTemplate
from softcloze.heads import WordHead
from softcloze.soft import SoftVectors
from softcloze.template import EMBEDDING, Template
from softcloze.training import Checkpoint, ResolvedSettings, TrainingTask, train
from softcloze.verbalizer import Verbalizer
from support import models
from support.reference_scores import word_scorer

SETTINGS = {"target_loss": 0.0, "average_last_epochs": 0, "validation_fraction": 0.25}
FLAT = {"epochs": 3, "batch_size": 4, "learning_rate": 0.05, "seed": 0}


def options(**changes):
    """Arguments of `train` with these changes, be they options of `ResolvedSettings` or its own."""
    flat = {name: changes.pop(name, default) for name, default in FLAT.items()}
    return {"settings": ResolvedSettings(**{**SETTINGS, **changes}), **flat}


def interrupt_at(epoch):
    """An `on_epoch` that interrupts a fit after this epoch."""

    def interrupt(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return interrupt


def without_seconds(history):
    """The records of a history, without the time that differs from run to run."""
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


class Task:
    """All arguments of `train`."""

    def __init__(self, backbone, source, *, texts=12, table=None):
        self.backbone = models.backbone(backbone) if isinstance(backbone, str) else backbone
        self.verbalizer = Verbalizer(table or {"pos": ["good", "great"], "neg": "bad"})
        compiled = CompiledTemplate(Template(source), self.backbone.prompt_tokenizer, self.backbone.max_length)
        self.blocks = compiled.blocks
        self.words = [compiled.word_ids(word) for word in self.verbalizer.all_words]
        examples = models.SENTENCES[:texts]
        self.prompts = compiled.encode(examples, answer_length=max(map(len, self.words)))
        self.targets = [i % 2 for i in range(texts)]
        self.scorer = word_scorer(self.backbone, compiled, self.words)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(compiled.soft_count, self.backbone.width, generator=generator)
        self.initial = noise * self.backbone.embedding_rms
        self.deep = {}
        for block in self.blocks:
            if block.layers != EMBEDDING:
                shape = len(block.layers.later(self.backbone.layers.count)), block.count, self.backbone.layers.width
                self.deep[block.key] = torch.randn(shape, generator=generator) * 0.1

    def soft(self):
        return SoftVectors(self.blocks, self.initial, self.deep)

    def training_task(self, soft):
        return TrainingTask(soft, WordHead(self.verbalizer), self.scorer, self.prompts, torch.as_tensor(self.targets))

    def fit(self, *, checkpoint=None, soft=None, **changes):
        """Trained vectors and the history."""
        soft = self.soft() if soft is None else soft
        history = train([self.training_task(soft)], checkpoint=checkpoint, **options(**changes))
        if checkpoint is not None:
            checkpoint.discard()
        return soft, history

    def resume(self, folder, **changes):
        """Trained vectors and the history of a fit that is interrupted after its second epoch, and resumed."""
        checkpoint = Checkpoint(folder, "0123456789abcdef0123")
        with pytest.raises(KeyboardInterrupt):
            self.fit(**changes, checkpoint=checkpoint, on_epoch=interrupt_at(2))
        return self.fit(**changes, checkpoint=checkpoint)
