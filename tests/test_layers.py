"""The order of the packages: each imports only those before it, lazy imports included, so there is no circle."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "softcloze"
ORDER = [
    "formatting",
    "errors",
    "launcher",
    "parameters",
    "files",
    "display",
    "template",
    "verbalizer",
    "library",
    "data",
    "encoding",
    "calibration",
    "starters",
    "backbone",
    "embeddings",
    "scoring",
    "generation",
    "soft",
    "heads",
    "demonstrations",
    "prompt",
    "registry",
    "batch",
    "training",
    "label_words",
    "analysis",
    "lint",
    "classifiers",
    "automatic",
    "labelling",
    "experiments",
    "search",
    "report",
    "client",
    "service",
    "integrations",
    "cli",
]
# the only arrows up: one-line forwards that users expect as methods
FORWARDS = {
    ("experiments/comparison.py", "Comparison.table", "experiments.table"),
    ("experiments/comparison.py", "Comparison.report", "report.page"),
    ("experiments/generation_comparison.py", "GenerationComparison.report", "report.generation_page"),
    ("automatic/trials_table.py", "Trials.report", "report.trials_page"),
    ("search/summary.py", "SearchSummary.table", "search.table"),
    ("search/summary.py", "SearchSummary.report", "report.search_page"),
    ("prompt/prompt.py", "Prompt.to_peft", "prompt.peft_export"),
    ("prompt/generator.py", "GeneratorPrompt.to_peft", "prompt.peft_generator"),
}


def imports(path):
    """Module, enclosing function and line of each import of softcloze in a file; `if TYPE_CHECKING` included."""

    def visit(node, scope):
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "softcloze":
                    inside = module.partition(".")[2]
                    for name in [inside] if inside else [alias.name for alias in child.names]:
                        yield name, scope, child.lineno
                case ast.Import():
                    for alias in child.names:
                        if alias.name.startswith("softcloze."):
                            yield alias.name.partition(".")[2], scope, child.lineno
            inner = getattr(child, "name", None) if isinstance(child, ast.FunctionDef | ast.ClassDef) else None
            yield from visit(child, f"{scope}.{inner}".lstrip(".") if inner else scope)

    return visit(ast.parse(path.read_text(encoding="utf-8")), "")


def package_of(path):
    return path.relative_to(SRC).parts[0].removesuffix(".py")


FILES = sorted(path for path in SRC.rglob("*.py") if path != SRC / "__init__.py")


def test_every_package_has_a_place():
    assert {package_of(path) for path in FILES} - {"__main__"} == {*ORDER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_package_imports_only_packages_before_it(path):
    place = ORDER.index(package_of(path)) if package_of(path) in ORDER else len(ORDER)
    upward = [
        f"{path.relative_to(SRC)}:{line} imports softcloze.{module}"
        for module, scope, line in imports(path)
        if ORDER.index(module.partition(".")[0]) > place and (str(path.relative_to(SRC)), scope, module) not in FORWARDS
    ]
    assert not upward


def test_modules_of_a_package_form_no_circle():
    arrows = {}
    modules = {".".join(path.relative_to(SRC).with_suffix("").parts): path for path in FILES}
    for name, path in modules.items():
        file = str(path.relative_to(SRC))
        arrows[name] = {
            module for module, scope, _ in imports(path) if module in modules and (file, scope, module) not in FORWARDS
        } - {name}
    done, path = set(), []

    def visit(name):
        assert name not in path, "circle: " + " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in sorted(arrows[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in sorted(modules):
        visit(name)
