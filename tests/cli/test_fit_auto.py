"""softcloze fit --auto: from labelled rows to a saved classifier that the other commands take, without a template."""

import json
import shutil
import subprocess
import sys

import pytest
from support import models
from support.html_page import Page, assert_complete

from softcloze import AutoPromptClassifier, ProbeClassifier, PromptClassifier, PromptEnsemble
from softcloze.automatic import feature_store
from softcloze.cli import main
from softcloze.cli.input_files import open_table
from softcloze.cli.resumable import ResumableOutput

TEXTS = [f"{start} {thing}." for thing in ("film", "book", "play", "meal") for start in ("A great", "An awful")]
LABELS = ["positive", "negative"] * (len(TEXTS) // 2)
FIT = ["fit", "train.csv", "--auto", "--model", "model", "--candidates", "2"]
pytestmark = pytest.mark.usefixtures("few_folds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and rows with a text, with two columns of text, and with columns of which none is known to be text."""
    folder = tmp_path_factory.mktemp("auto")
    models.model("bert").save_pretrained(folder / "model")
    models.tokenizer("wordpiece").save_pretrained(folder / "model")
    rows = [f"{text},{label},{1 + i % 2}" for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))]
    (folder / "train.csv").write_text("\n".join(["text,label,weight", *rows]), encoding="utf-8")
    titled = [f"{text.split()[-1]},{text},{label}" for text, label in zip(TEXTS, LABELS, strict=True)]
    (folder / "titled.csv").write_text("\n".join(["title,body,label", *titled]), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def in_folder(monkeypatch, folder):
    monkeypatch.chdir(folder)


def softcloze(*arguments):
    """A command in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["softcloze", *map(str, arguments)])
        main()
    return stop.value.code


@pytest.fixture(scope="module")
def saved(folder):
    """An ensemble that the command saved, with a page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert softcloze(*FIT, "--out", "auto", "--report", "page.html") == 0
    return folder / "auto"


def test_it_is_the_classifier_of_the_same_parameters(saved, folder):
    auto = AutoPromptClassifier(str(folder / "model"), candidates=2, budget=None, random_state=0).fit(TEXTS, LABELS)
    loaded = PromptEnsemble.load(saved)
    assert loaded.predict_proba(TEXTS) == pytest.approx(auto.predict_proba(TEXTS), abs=1e-6)


def test_it_reports_what_is_best_so_far_and_what_was_tried(capsys):
    assert softcloze(*FIT, "--out", "told") == 0
    out, err = capsys.readouterr()
    first, second, *_ = [line for line in err.splitlines() if line.startswith("choosing on 8 rows: ")]
    assert "1 tried, best so far: log loss 0." in first and "2 tried, " in second
    assert "trials in" in out and "log loss" in out and "training accuracy " in out
    assert "on 8 rows; saved in told" in out


def test_the_page_shows_every_trial_and_the_chosen_templates(saved, folder):
    html = (folder / "page.html").read_text(encoding="utf-8")
    assert_complete(html)
    page = Page(html)
    assert "Chosen templates" in page.text and "2: 'negative', 'positive'" in page.text
    assert sum("✓" in line for line in page.lines) == len(PromptEnsemble.load(saved).classifiers_)


def test_predict_evaluate_and_inspect_prompt_take_the_ensemble(saved, capsys):
    (saved.parent / "new.jsonl").write_text(
        "\n".join([*(json.dumps({"text": text}) for text in TEXTS), '{"text": null}', "[1]"]), encoding="utf-8"
    )
    assert softcloze("predict", "new.jsonl", "--prompt", "auto", "--out", "scored.jsonl") == 0
    rows = list(open_table(saved.parent / "scored.jsonl").rows())
    ensemble = PromptEnsemble.load(saved)
    assert [row["predicted"] for row in rows[:8]] == ensemble.predict(TEXTS).tolist()
    found = [[row["probability_negative"], row["probability_positive"]] for row in rows[:8]]
    assert found == pytest.approx(ensemble.predict_proba(TEXTS), abs=1e-5)
    assert [row["error"] is None for row in rows] == [True] * 8 + [False] * 2

    capsys.readouterr()
    assert softcloze("evaluate", "train.csv", "--prompt", "auto", "--report", "evaluation.html") == 0
    assert f"accuracy           {ensemble.score(TEXTS, LABELS):.3f}" in capsys.readouterr().out
    assert "Template" in Page((saved.parent / "evaluation.html").read_text(encoding="utf-8")).text

    assert softcloze("inspect-prompt", "auto", "--data", "train.csv") == 0
    out = capsys.readouterr().out
    for number, member in enumerate(ensemble.classifiers_, start=1):
        assert f"member {number} of {len(ensemble.classifiers_)}, head {member.prompt_.head}: " in out


def test_a_damaged_ensemble_is_named(saved, tmp_path, capsys):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ensemble.json").write_text("{}", encoding="utf-8")
    assert softcloze("predict", "train.csv", "--prompt", tmp_path / "broken") == 2
    assert "ensemble.json is damaged" in capsys.readouterr().err


def test_members_1_saves_a_single_prompt_and_the_template_is_tried_first():
    template = "All in all, <text> was <mask>."
    assert softcloze(*FIT[:-1], "1", "--members", "1", "--template", template, "--out", "single") == 0
    assert str(PromptClassifier.load("single").prompt_.template).endswith(template)


def test_all_columns_that_are_named_are_shown():
    options = ["--text-column", "title", "--text-column", "body", "--candidates", "1", "--members", "1"]
    assert softcloze("fit", "titled.csv", "--auto", "--model", "model", "--out", "titled", *options) == 0
    assert set(PromptClassifier.load("titled").prompt_.template.fields) == {"title", "body"}
    assert softcloze("predict", "titled.csv", "--prompt", "titled") == 0


def test_weights_of_rows_and_classes_reach_the_classifier(monkeypatch):
    given = {}

    def fit(self, examples, labels, weights):
        given.update(vars(self), weights=weights)
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoPromptClassifier, "fit", fit)
    options = ["--weight-column", "weight", "--class-weight", '{"negative": 2}', "--budget", "90s", "--seed", "3"]
    assert softcloze(*FIT, *options, "--out", "never") == 130
    expected = {"weights": [1, 2] * 4, "class_weight": {"negative": 2}, "budget": "90s", "random_state": 3}
    assert {name: given[name] for name in expected} == expected
    for option, weight in ([], "balanced"), (["--class-weight", "none"], None):
        assert softcloze(*FIT, *option, "--out", "never") == 130
        assert given["class_weight"] == weight


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "train.csv"], "fit needs a template: give one with --template, or --auto"),
        (["fit", "train.csv", "--template", "<text> <mask>", "--budget", "1min"], "--budget is for --auto; add --auto"),
        ([*FIT, "--epochs", "3"], "--auto chooses for itself and does not take --epochs; leave one of the two out"),
        ([*FIT, "--head", "linear"], "does not take --head"),
        ([*FIT, "--budget", "soon"], "--budget is 'soon'; expected a number of seconds above 0, or a duration"),
        ([*FIT, "--template", "<soft*4> <text> <mask>"], "expected hard templates with one mask"),
        (["fit", "titled.csv", "--auto"], "name the columns of the texts with --text-column, once for each"),
        (["fit", "titled.csv", "--auto", "--text-column", "tilte"], "no column 'tilte'"),
        (["fit", "odd.csv", "--auto", "--text-column", "a b", "--text-column", "mask"], "column 'a b' cannot be"),
        (["fit", "odd.csv", "--auto", "--text-column", "mask", "--text-column", "a b"], "column 'mask' cannot be"),
        (["fit", "odd.csv", "--auto", "--text-column", "mask"], "'x', 'y' have fewer than two examples"),
        ([*FIT, "--text-column", "text", "--template", "<a> <b> <mask>"], "reads the columns"),
        ([*FIT, "--report", "train.csv/page.html"], "train.csv"),
        (["fit", "train.csv", "--template", "<text> <mask>", *["--text-column", "text"] * 2], "more than once"),
    ],
)
def test_mistakes_are_reported_before_the_model_is_loaded(folder, arguments, message, capsys, monkeypatch):
    (folder / "odd.csv").write_text("a b,mask,label\n1,2,x\n1,2,y\n", encoding="utf-8")
    for loader in ("softcloze.cli.fit.open_backbone", "softcloze.automatic.classifier.load_backbone"):
        monkeypatch.setattr(loader, lambda *_, **__: pytest.fail("the model was loaded"))
    assert softcloze(*arguments, "--out", "never") == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (folder / "never").exists()


def test_a_folder_with_a_prompt_is_not_replaced_by_an_ensemble(folder, capsys):
    PromptClassifier(str(folder / "model"), "<text> It was <mask>.", {"a": "good", "b": "bad"}).save("taken")
    assert softcloze(*FIT, "--out", "taken") == 2
    assert "taken already exists and is not a saved ensemble; choose another path" in capsys.readouterr().err


def test_predict_with_an_ensemble_resumes_after_an_interruption(saved, monkeypatch, capsys):
    rows = [json.dumps({"text": f"{text} {i}"}) for i in range(40) for text in TEXTS]
    (saved.parent / "many.jsonl").write_text("\n".join(rows), encoding="utf-8")
    command = ["predict", "many.jsonl", "--prompt", "auto", "--out"]
    assert softcloze(*command, "whole.jsonl") == 0
    with monkeypatch.context() as patch:
        append, windows = ResumableOutput.append, iter([False, True])

        def interrupted(self, window):
            if next(windows):
                raise KeyboardInterrupt
            append(self, window)

        patch.setattr(ResumableOutput, "append", interrupted)
        assert softcloze(*command, "resumed.jsonl") == 130
    capsys.readouterr()
    assert softcloze(*command, "resumed.jsonl") == 0
    assert "256 of 320 rows are done already" in capsys.readouterr().err
    assert (saved.parent / "resumed.jsonl").read_bytes() == (saved.parent / "whole.jsonl").read_bytes()


@pytest.fixture(scope="module")
def encoder(folder):
    models.model("bert", seed=1).base_model.save_pretrained(folder / "encoder")
    models.tokenizer("wordpiece").save_pretrained(folder / "encoder")
    return "encoder"


class TestEncoder:
    """--encoder: sentence embeddings beside prompts, and the commands that take the result."""

    def test_embeddings_are_tried_and_an_ensemble_is_saved_in_any_case(self, encoder, folder, capsys):
        options = ["--encoder", encoder, "--members", "1", "--report", "encoder.html", "--chat-options", "{}"]
        assert softcloze(*FIT[:-1], "1", *options, "--out", "one") == 0
        out = capsys.readouterr().out
        assert "linear, embedding" in out and "training accuracy" in out
        assert len(PromptEnsemble.load("one").classifiers_) == 1
        assert_complete((folder / "encoder.html").read_text(encoding="utf-8"))

    def test_every_command_takes_an_ensemble_of_prompts_and_embeddings(self, encoder, folder, capsys):
        prompt = PromptClassifier("model", "<text> It was <mask>", {"negative": "bad", "positive": "good"})
        ensemble = PromptEnsemble([prompt, ProbeClassifier(encoder, random_state=0)]).fit(TEXTS, LABELS)
        ensemble.save("embedded")
        assert softcloze("predict", "train.csv", "--prompt", "embedded", "--out", "embedded.jsonl") == 0
        rows = list(open_table(folder / "embedded.jsonl").rows())
        assert [row["predicted"] for row in rows] == ensemble.predict(TEXTS).tolist()
        found = [[row["probability_negative"], row["probability_positive"]] for row in rows]
        assert found == pytest.approx(ensemble.predict_proba(TEXTS), abs=1e-5)
        capsys.readouterr()
        assert softcloze("evaluate", "train.csv", "--prompt", "embedded", "--report", "evaluation.html") == 0
        assert f"accuracy           {ensemble.score(TEXTS, LABELS):.3f}" in capsys.readouterr().out
        assert "encoder" in Page((folder / "evaluation.html").read_text(encoding="utf-8")).text
        assert softcloze("inspect-prompt", "embedded", "--data", "train.csv") == 0
        out = capsys.readouterr().out
        assert "mean size of the part of each member over 8 examples" in out
        assert f"of {len(ensemble.classifiers_)}, head linear: embedding of <text> by encoder" in out

    def test_a_probe_needs_no_language_model(self, encoder, folder, capsys, monkeypatch):
        probe = ProbeClassifier(encoder, random_state=0).fit(TEXTS, LABELS)
        probe.save("probe")
        PromptEnsemble([probe]).save("only-probe")
        monkeypatch.setattr("softcloze.cli.saved.open_backbone", lambda *_, **__: pytest.fail("a model was loaded"))
        for saved in ("probe", "only-probe"):
            assert softcloze("predict", "train.csv", "--prompt", saved, "--out", f"{saved}.csv") == 0
            rows = list(open_table(folder / f"{saved}.csv").rows())
            assert [row["predicted"] for row in rows] == probe.predict(TEXTS).tolist()
            assert softcloze("evaluate", "train.csv", "--prompt", saved, "--report", "probe.html") == 0
            assert softcloze("inspect-prompt", saved, "--data", "train.csv") == 0
            assert "a linear layer on sentence embeddings" in capsys.readouterr().out

    def test_an_encoder_that_moved_is_named_and_found_with_the_option(self, encoder, folder, capsys):
        shutil.copytree(folder / "encoder", folder / "to-move")
        ProbeClassifier("to-move", random_state=0).fit(TEXTS, LABELS).save("moved")
        (folder / "to-move").rename(folder / "elsewhere")
        assert softcloze("evaluate", "train.csv", "--prompt", "moved") == 2
        assert "the sentence encoder 'to-move', which probe.json names, cannot be loaded; if it moved" in " ".join(
            capsys.readouterr().err.split()
        )
        assert softcloze("evaluate", "train.csv", "--prompt", "moved", "--encoder", "elsewhere") == 0
        assert softcloze("evaluate", "train.csv", "--prompt", "moved", "--encoder", "model") == 2
        assert "belongs to another encoder" in capsys.readouterr().err

    def test_an_unknown_starter_is_named_before_rows_are_scored(self, capsys):
        assert softcloze(*FIT, "--encoder", "starter:minlm", "--out", "never") == 2
        assert "unknown starter model 'minlm'; did you mean 'minilm-l6'" in capsys.readouterr().err


def test_an_interrupted_search_resumes(folder, monkeypatch, capsys):
    command = [*FIT, "--text-column", "text", "--label-column", "weight", "--out", "resumed"]
    monkeypatch.setattr("softcloze.automatic.race.soft_trial", lambda *_: None)  # is trained anew

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("softcloze.cli.fit_auto.save", interrupted)
        assert softcloze(*command) == 130
    assert "the progress is kept in resumed.part; run the same command again to resume" in capsys.readouterr().err
    assert [*(folder / "resumed.part").glob("features-*.safetensors")]
    score_together = feature_store.score_together

    def nothing(members):
        assert not any(member.prompts for member in members), "features were computed again"
        return score_together(members)

    with monkeypatch.context() as patch:
        patch.setattr(feature_store, "score_together", nothing)
        assert softcloze(*command) == 0
    assert not (folder / "resumed.part").exists()


@pytest.mark.slow
def test_a_killed_search_loses_one_template_at_most(folder):
    command = [sys.executable, "-m", "softcloze", *FIT[:-1], "4", "--out", "killed"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, encoding="utf-8") as process:
        tried = next(line for line in process.stderr if " 2 tried" in line)
        process.kill()
    assert process.returncode == -9 and tried
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "killed.part").glob("*.safetensors")}
    assert len(kept) >= 2
    done = subprocess.run([*command, "--seed", "0"], cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert not any((folder / "killed.part").glob("features-*.safetensors"))
    assert "training accuracy" in done.stdout
