"""The rooms of the library import in one direction, do nothing on import, and have no cycles."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "icl_lib"
FILES = sorted(PACKAGE.rglob("*.py"))

FORBIDDEN = {
    "models": {
        "recipes",
        "finetune",
        "meta",
        "scaling",
        "tasks",
        "plots",
        "optim",
        "dual",
        "learners",
        "live",
        "exercises",
        "sphinxext",
    },
    "optim": {
        "recipes",
        "finetune",
        "meta",
        "scaling",
        "models",
        "tasks",
        "plots",
        "dual",
        "learners",
        "live",
        "exercises",
        "sphinxext",
    },
    "dual": {
        "recipes",
        "finetune",
        "meta",
        "scaling",
        "tasks",
        "plots",
        "models",
        "learners",
        "live",
        "exercises",
        "sphinxext",
    },
    "tasks": {
        "recipes",
        "finetune",
        "meta",
        "scaling",
        "models",
        "plots",
        "optim",
        "dual",
        "learners",
        "live",
        "exercises",
        "sphinxext",
    },
    "learners": {"recipes", "meta", "models", "tasks", "plots", "live", "exercises", "sphinxext"},
    "plots": {"models", "optim", "tasks", "recipes", "finetune", "exercises", "live", "sphinxext"},
    "live": {
        "models",
        "optim",
        "tasks",
        "dual",
        "learners",
        "finetune",
        "meta",
        "scaling",
        "recipes",
        "plots",
        "exercises",
        "sphinxext",
    },
    "finetune": {"recipes", "meta", "tasks", "plots", "learners", "live", "exercises", "sphinxext"},
    "scaling": {
        "recipes",
        "tasks",
        "plots",
        "dual",
        "learners",
        "finetune",
        "meta",
        "live",
        "exercises",
        "sphinxext",
    },
    "meta": {"recipes", "plots", "live", "exercises", "sphinxext"},
    "recipes": {"plots", "live", "exercises", "sphinxext", "dual"},
    "exercises": {"plots", "live", "sphinxext", "recipes"},
    "sphinxext": {"models", "optim", "tasks", "dual", "learners", "plots", "exercises"},
    "claims.py": {"models", "optim", "tasks", "dual", "learners", "plots", "live", "exercises"},
}
NO_TORCH = ("live", "sphinxext", "claims.py", "palette.py")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{a.name}" for a in node.names}
    return names


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_room_imports_only_what_its_table_row_allows(path):
    rooms = {n.split(".")[1] for n in imported(path) if n.startswith("icl_lib.")}
    assert not rooms & FORBIDDEN.get(room(path), set())
    if room(path) in NO_TORCH:
        assert not {n for n in imported(path) if n.split(".")[0] == "torch"}


def test_there_are_no_import_cycles():
    names = {module(p) for p in FILES}
    edges = {module(p): (imported(p) & names) - {module(p)} for p in FILES}
    # a package's __init__ re-exports its own files: an edge to one's own package is no cycle
    edges = {a: {b for b in bs if not a.startswith(b + ".")} for a, bs in edges.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path, name))
        if name in done:
            return
        for other in sorted(edges.get(name, ())):
            visit(other, (*path, name))
        done.add(name)

    for name in sorted(edges):
        visit(name, ())


def test_importing_every_module_changes_no_global_state():
    code = (
        "import importlib, sys, torch, matplotlib as mpl, random, warnings\n"
        "before = (torch.initial_seed(), torch.get_default_dtype(), dict(mpl.rcParams),"
        " random.getstate())\n"
        f"[importlib.import_module(m) for m in {sorted(module(p) for p in FILES)!r}]\n"
        "after = (torch.initial_seed(), torch.get_default_dtype(), dict(mpl.rcParams),"
        " random.getstate())\n"
        "sys.exit(before != after)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                length = body[-1].end_lineno - body[0].lineno + 1
                assert length <= 60, f"{node.name} has {length} lines without its docstring"


def test_public_functions_of_the_mathematics_name_source_and_chapter():
    missing = []
    for path in FILES:
        if room(path) not in {"dual", "learners"} and path.name != "attention.py":
            continue
        if room(path) == "plots" or "live" in path.parts or "exercises" in path.parts:
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                text = ast.get_docstring(node) or ""
                if "Explained in" not in text:
                    missing.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert not missing
