"""Fixtures: one tiny backbone or tokenizer of each kind, and the real starters."""

import gc
import os
from functools import cache

if "PYTEST_XDIST_WORKER" in os.environ:
    # test processes share the cores: one thread for each of them and for what they start, set before numpy is loaded
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import settings
from support import models

from softcloze.backbone import load_backbone
from softcloze.heads import exact

# The same cases on every run, so that a failure can be repeated: 200 of each property, 600 under `make test-slow`.
# `fuzz/` and `pytest --hypothesis-profile=new` try cases that nobody has seen.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=200)
settings.register_profile("thorough", settings.get_profile("repeatable"), max_examples=600)
settings.register_profile("new", print_blob=True, deadline=None, max_examples=200)
settings.load_profile("repeatable")


def pytest_configure(config):
    """One thread for each test process, also where a plugin has loaded torch before this file."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """A million objects of modules and tests live to the end: garbage collection takes seconds to visit them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """Examples take longest. They come first, or one process would run the last of them while the other waits."""
    items.sort(key=lambda item: item.path.name != "test_examples.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """In CI a test that is skipped fails: its machine has to have what the test needs."""
    return _failed_if_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """As above, for a file that is skipped as a whole."""
    return _failed_if_skipped_in_ci((yield))


def _failed_if_skipped_in_ci(report):
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which is an error in CI: {report.longrepr[-1]}"
    return report


@pytest.fixture(params=models.TOKENIZERS)
def kind(request):
    """The name of each kind of tokenizer in turn."""
    return request.param


@pytest.fixture(params=list(models.ARCHITECTURES))
def architecture(request):
    """The name of each architecture in turn."""
    return request.param


@pytest.fixture(scope="module")
def few_folds():
    """Five folds, not fifteen, choose the strength of an exact head, in tests of all that is around it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "FITS", exact.FOLDS)
        yield


@pytest.fixture(scope="session")
def bert_tiny():
    """BERT-tiny, the smallest real masked model."""
    return load_backbone("starter:bert-tiny", dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def named(tmp_path_factory):
    """A function from an architecture to its tiny backbone in a folder, whose name loads it again in a pickle."""

    @cache
    def backbone_of(architecture):
        folder = tmp_path_factory.mktemp(architecture)
        models.backbone(architecture).model.save_pretrained(folder)
        models.backbone(architecture).tokenizer.save_pretrained(folder)
        return load_backbone(folder, dtype="float32", device="cpu")

    return backbone_of


@pytest.fixture(scope="session")
def smollm2():
    """SmolLM2-135M, a real causal model of English."""
    return load_backbone("starter:smollm2-135m", dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def gemma3():
    """Gemma 3 270M, a real causal model of many languages."""
    return load_backbone("starter:gemma3-270m", dtype="float32", device="cpu")
