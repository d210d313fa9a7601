"""What the tools share: places, hashes of inputs, facts about the machine."""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "_build"
EXECUTED = BUILD / "executed"
SITE = BUILD / "html"
REPORT = BUILD / "report.json"

SHOWN_PACKAGES = (
    "torch", "numpy", "matplotlib", "scikit-learn", "transformers", "anywidget", "ipywidgets",
    "jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "nbmake",
)  # fmt: skip


def digest(files: Iterable[Path], *extra: str) -> str:
    """Return one hash of the names and contents of ``files`` and of the ``extra`` strings."""
    total = hashlib.sha256()
    for file in sorted(set(files)):
        total.update(file.relative_to(ROOT).as_posix().encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    for text in extra:
        total.update(text.encode() + b"\0")
    return total.hexdigest()


def files_below(*places: Path) -> list[Path]:
    """Return all files below ``places``, without what Python and editors leave behind."""
    skip = {"__pycache__", ".ipynb_checkpoints"}
    found: list[Path] = []
    for place in places:
        candidates = [place] if place.is_file() else sorted(place.rglob("*"))
        found += [
            f for f in candidates if f.is_file() and not skip & set(f.parts) and f.name[0] != "."
        ]
    return found


def sources() -> list[Path]:
    """Return the chapters in reading order."""
    return sorted(p for p in NOTEBOOKS.glob("*.ipynb") if not p.name.startswith("."))


def library() -> list[Path]:
    """Return the files of icl_lib that can change what a notebook shows: all but the site's."""
    site_only = ROOT / "icl_lib" / "sphinxext"
    return [f for f in files_below(ROOT / "icl_lib") if site_only not in f.parents]


def notebook_key(notebook: Path) -> str:
    """Return the hash of all that the outputs of ``notebook`` depend on."""
    return digest(
        [notebook, ROOT / "constraints.txt", *library()],
        platform.python_version(),
        platform.machine(),
    )


def _first_output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    name = _first_output("sysctl", "-n", "machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict:
    """Return the hardware and the versions, as the page on how the book was built shows them."""
    installed = {}
    for name in SHOWN_PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "packages": installed,
    }
