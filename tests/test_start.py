"""Importing the package loads neither model classes nor optional parts of its dependencies."""

import subprocess
import sys

HEAVY = (
    "accelerate",
    "fastapi",
    "httpx2",
    "jinja2",
    "prometheus_client",
    "rich",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.model_selection",
    "sympy",
    "torch._dynamo",
    "transformers",
    "uvicorn",
)


def test_importing_the_classifier_imports_torch_and_nothing_else_that_is_heavy():
    code = f"""
import sys
from softcloze import PromptClassifier
assert "torch" in sys.modules
print(*(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.split() == []


def test_python_m_runs_the_command():
    done = subprocess.run([sys.executable, "-m", "softcloze", "--version"], capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout[0].isdigit()
