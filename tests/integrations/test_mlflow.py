"""MLflow models: the predictions of the classifier to the bit, in other processes too, without pickle or network."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support import models
from transformers import BertConfig, BertModel

from softcloze import (
    FieldVerbalizer,
    MultiLabelPromptClassifier,
    ProbeClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
)
from softcloze.errors import ArtifactError, DataError, FieldError, ParameterError
from softcloze.integrations.mlflow import load_model, log_model, save_model

mlflow = pytest.importorskip("mlflow")

pytestmark = pytest.mark.filterwarnings("default")  # MLflow warns of itself
WORDS = {"positive": ["good", "great"], "negative": ["bad", "terrible"]}
TEXTS, LABELS = models.SENTENCES[:8], ["positive", "negative"] * 4
PROBABILITIES = {"predict_method": "predict_proba"}


@pytest.fixture(scope="module", autouse=True)
def offline():
    """No reports of usage, and a registry of this test alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with models."""
    home = tmp_path_factory.mktemp("home")
    for name, kind, words in (
        ("bert", "bert", "wordpiece"),
        ("roberta", "roberta", "roberta"),
        ("gpt2", "gpt2", "gpt2"),
    ):
        models.model(kind).save_pretrained(home / name)
        models.tokenizer(words).save_pretrained(home / name)
    tokenizer = models.tokenizer("wordpiece")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(home / "encoder")
    tokenizer.save_pretrained(home / "encoder")
    return home


def prompt(home, template="<soft*2> <text> It was <mask>.", **parameters):
    return PromptClassifier(str(home / "bert"), template, WORDS, epochs=1, random_state=0, **parameters)


def ensemble(home):
    members = [prompt(home), ProbeClassifier(str(home / "encoder"))]
    return PromptEnsemble(members).fit(TEXTS, LABELS)


def several_labels(home):
    clf = MultiLabelPromptClassifier(str(home / "bert"), "<text> It was <mask>.", WORDS, epochs=1, random_state=0)
    return clf.fit(TEXTS, np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 2))


KINDS = {
    "soft": lambda home: prompt(home).fit(TEXTS, LABELS),
    "hard": lambda home: prompt(home, "<text> It was <mask>."),
    "several labels": several_labels,
    "ensemble": ensemble,
    "probe": lambda home: ProbeClassifier(str(home / "encoder")).fit(TEXTS, LABELS),
}


@pytest.fixture(scope="module")
def kinds(home):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: make(home) for name, make in KINDS.items()}


INPUTS = {
    "frame": lambda texts: pd.DataFrame({"text": texts}),
    "frame with an index and more columns": lambda texts: pd.DataFrame({"text": texts, "id": 1}, np.arange(8) * 2),
    "column": lambda texts: pd.Series(texts, name="text"),
    "list": list,
    "array": np.array,
}


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_the_classifier_to_the_bit(kind, kinds, tmp_path):
    clf = kinds[kind]
    save_model(clf, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    for make in INPUTS.values():
        data = make(TEXTS)
        probabilities = loaded.predict(data, params=PROBABILITIES)
        np.testing.assert_array_equal(probabilities, clf.predict_proba(TEXTS))
        assert [*probabilities] == clf.classes_.tolist()
        np.testing.assert_array_equal(loaded.predict(data), clf.predict(TEXTS))
        if isinstance(data, pd.DataFrame):
            assert probabilities.index.equals(data.index)
    assert type(load_model(str(tmp_path / "model"))) is type(clf)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_has_kilobytes_and_neither_code_nor_training_examples(kind, kinds, tmp_path):
    save_model(kinds[kind], tmp_path / "model")
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40_000
    assert {path.suffix for path in files} <= {"", ".json", ".safetensors", ".txt", ".yaml"}
    assert not any(text.encode() in path.read_bytes() for path in files for text in TEXTS)
    assert "softcloze==0.1.0" in (tmp_path / "model" / "requirements.txt").read_text().splitlines()


FRESH = """
import json, pickle, socket, sys
import pandas as pd
import torch
import mlflow.pyfunc

def refuse(*arguments, **options):
    raise AssertionError("no network, no pickle")

socket.socket.connect = socket.getaddrinfo = pickle.load = pickle.loads = torch.load = refuse
loaded = mlflow.pyfunc.load_model(sys.argv[1])
texts = json.loads(sys.argv[2])
for data in (pd.DataFrame({"text": texts}), texts):
    print(json.dumps(loaded.predict(data, params={"predict_method": "predict_proba"}).values.tolist()))
"""


@pytest.mark.parametrize("kind", ["soft", "ensemble"])
def test_a_fresh_process_predicts_the_same_without_network_and_pickle(kind, kinds, tmp_path):
    save_model(kinds[kind], tmp_path / "model")
    command = [sys.executable, "-c", FRESH, str(tmp_path / "model"), json.dumps(TEXTS)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines()[-2:]:
        assert json.loads(line) == kinds[kind].predict_proba(TEXTS).tolist()


def test_several_fields_are_columns_by_name(home, tmp_path):
    clf = prompt(home, "<title>: <body> It was <mask>.")
    rows = [{"title": "A film", "body": text} for text in TEXTS]
    frame = pd.DataFrame(rows)
    save_model(clf, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    for data in (frame, frame.assign(id=1)[["id", "body", "title"]], rows):
        np.testing.assert_array_equal(loaded.predict(data, params=PROBABILITIES), clf.predict_proba(rows))
    with pytest.raises(mlflow.MlflowException, match=re.escape("missing inputs ['title']")):
        loaded.predict(frame[["body"]])


def test_choices_are_a_column_of_lists(home, tmp_path):
    verbalizer = FieldVerbalizer("choices", most=3, answers="word")
    clf = PromptClassifier(str(home / "bert"), "<question> It was <mask>", verbalizer)
    rows = [
        {"question": "What is snow like?", "choices": ["good", "bad"]},
        {"question": "What is green?", "choices": ["great", "bad", "terrible"]},
    ]
    save_model(clf, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert loaded.predict(pd.DataFrame(rows)).tolist() == clf.predict(rows).tolist()


def test_a_generator_writes_and_has_no_probabilities(home, tmp_path):
    clf = PromptGenerator(str(home / "gpt2"), "<text> In short: <answer max=4>")
    save_model(clf, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert loaded.predict(TEXTS[:2]).tolist() == clf.predict(TEXTS[:2]).tolist()
    with pytest.raises(ParameterError, match="a PromptGenerator has 'predict'"):
        loaded.predict(TEXTS[:2], params=PROBABILITIES)


def test_a_folder_of_a_saved_classifier_is_logged_without_the_other_files_in_it(kinds, tmp_path):
    kinds["soft"].save(tmp_path / "prompt")
    (tmp_path / "prompt" / "train.csv").write_text("text,label\n")
    save_model(tmp_path / "prompt", tmp_path / "model")
    assert not [*(tmp_path / "model").rglob("*.csv")]
    loaded = load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), kinds["soft"].predict_proba(TEXTS))


def test_a_registry_has_versions_and_aliases(kinds, tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_registry_uri(None)
    mlflow.create_experiment("reviews", artifact_location=(tmp_path / "artifacts").as_uri())
    mlflow.set_experiment("reviews")
    with mlflow.start_run() as run:
        info = log_model(kinds["soft"], "classifier", registered_model_name="reviews", input_example=["A new text."])
        log_model(kinds["probe"], "classifier", registered_model_name="reviews")
        mlflow.log_metric("accuracy", kinds["soft"].score(TEXTS, LABELS))
    mlflow.MlflowClient().set_registered_model_alias("reviews", "champion", 1)
    for uri in ("models:/reviews/1", "models:/reviews@champion", info.model_uri):
        loaded = mlflow.pyfunc.load_model(uri)
        assert loaded.predict(TEXTS).tolist() == kinds["soft"].predict(TEXTS).tolist()
    assert type(load_model("models:/reviews/2")) is ProbeClassifier
    assert info.run_id == run.info.run_id
    assert info.signature.to_dict()["inputs"] == '[{"type": "string", "required": true}]'


def test_options_of_mlflow_go_to_mlflow(kinds, tmp_path):
    options = {"extra_pip_requirements": ["pandas"], "metadata": {"owner": "me"}, "input_example": ["A new text."]}
    save_model(kinds["hard"], tmp_path / "model", **options)
    card = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    assert card["metadata"] == {"owner": "me"}
    assert "saved_input_example_info" in card
    requirements = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert {"softcloze==0.1.0", "pandas"} < {*requirements}


def test_another_model_is_an_error_with_both_names_and_the_same_one_elsewhere_is_none(kinds, home, tmp_path):
    save_model(kinds["soft"], tmp_path / "model")
    with pytest.raises(ArtifactError) as caught:
        load_model(str(tmp_path / "model"), model=str(home / "roberta"))
    assert str(home / "bert") in str(caught.value)
    assert str(home / "roberta") in str(caught.value)
    (tmp_path / "elsewhere").symlink_to(home / "bert")
    config = {"model": str(tmp_path / "elsewhere")}
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"), model_config=config)
    assert loaded.get_raw_model().backbone_.name == config["model"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_PYFUNC_INFERENCE_CONFIG", json.dumps(config))
        assert load_model(str(tmp_path / "model")).backbone_.name == config["model"]


def test_a_row_that_cannot_be_scored_is_an_error_that_names_it(kinds, tmp_path):
    save_model(kinds["soft"], tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    for data in ([*TEXTS, None], pd.DataFrame({"text": [*TEXTS, None]})):
        with pytest.raises(FieldError, match="row 8"):
            loaded.predict(data)
    with pytest.raises(
        DataError, match=re.escape("the first column is 'title', and the prompt reads the field 'text'")
    ):
        loaded.predict(pd.DataFrame({"title": TEXTS, "text": TEXTS}))
    with pytest.raises(ParameterError, match="predict_method='fit'"):
        loaded.predict(TEXTS, params={"predict_method": "fit"})


@pytest.mark.parametrize("wrong", [3, object(), {"text": "a"}])
def test_only_classifiers_and_folders_are_taken(wrong, tmp_path):
    with pytest.raises(ParameterError, match="clf="):
        save_model(wrong, tmp_path / "model")
    with pytest.raises(ArtifactError):
        save_model(tmp_path / "nowhere", tmp_path / "model")


def test_the_sklearn_flavour_works_with_the_type_trusted_and_is_not_free_of_code(kinds, tmp_path):
    clf = kinds["soft"]
    options = {"pip_requirements": ["softcloze"]}  # MLflow would find them out in a process of its own
    with pytest.raises(mlflow.MlflowException, match="PromptClassifier"):
        mlflow.sklearn.save_model(clf, tmp_path / "refused", **options)
    trusted = ["softcloze.classifiers.prompt_classifier.PromptClassifier"]
    mlflow.sklearn.save_model(clf, tmp_path / "model", skops_trusted_types=trusted, **options)
    loaded = mlflow.sklearn.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        with pytest.raises(mlflow.MlflowException, match="MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
            mlflow.sklearn.load_model(str(tmp_path / "model"))
        save_model(clf, tmp_path / "ours")
        assert load_model(str(tmp_path / "ours")).predict(TEXTS).tolist() == clf.predict(TEXTS).tolist()


def test_mlflow_serves_it(kinds, tmp_path):
    save_model(kinds["soft"], tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(tmp_path / "model"), "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # in which MLflow looks for uvicorn
    options = {"cwd": tmp_path, "env": os.environ | {"PATH": path}, "start_new_session": True}
    server = subprocess.Popen([*command, "--env-manager", "local"], **options)
    try:
        end = time.monotonic() + 90
        while not answers(port):
            assert server.poll() is None and time.monotonic() < end
            time.sleep(0.2)
        expected = kinds["soft"].predict_proba(TEXTS)
        for data in ({"inputs": TEXTS}, {"dataframe_records": [{"text": text} for text in TEXTS]}):
            body = post(port, {**data, "params": PROBABILITIES})
            rows = [[row["negative"], row["positive"]] for row in body["predictions"]]
            np.testing.assert_allclose(rows, expected, rtol=1e-12)
            assert post(port, data)["predictions"] == kinds["soft"].predict(TEXTS).tolist()
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def post(port, body):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())
