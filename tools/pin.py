"""Write constraints.txt: the exact version of everything that is installed in this environment.

To move to newer versions: make a fresh environment without constraints, install ``.[dev]`` in it,
run the tests with it, then run this with its Python.
"""

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Exact versions of every package that the book is built and tested with.
# Made by `make constraints` (tools/pin.py) from a tested environment; do not edit by hand.
# Why each direct dependency is there stands beside it in pyproject.toml.
"""
# The book itself, installers, and what torch pins itself for its own platform.
SKIP = re.compile(r"^(icl-lib|pip|setuptools|wheel|triton|nvidia-.*|cuda-.*|pywin.*|colorama)$")
# Needed on a platform other than the one where the file is made.
ELSEWHERE = ['appnope==0.1.4; sys_platform == "darwin"']


def normal(name: str) -> str:
    """Return the canonical spelling of a package name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> list[str]:
    """Return one line per installed package, without local version suffixes such as ``+cpu``."""
    found = {
        normal(dist.name): dist.version.split("+")[0]
        for dist in importlib.metadata.distributions()
        if not SKIP.match(normal(dist.name))
    }
    return sorted([*(f"{name}=={version}" for name, version in found.items()), *ELSEWHERE])


if __name__ == "__main__":
    lines = pins()
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(lines)} packages")
