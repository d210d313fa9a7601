"""Finding and starting the system's Chromium."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
MISSING = (
    "no Chromium found; install it with `apt-get install chromium` (Debian, Ubuntu) "
    "or `brew install --cask chromium` (macOS)"
)


def in_ci() -> bool:
    """Tell whether this run is a CI run, where a missing tool is a failure and not a skip."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


def find_chromium() -> str | None:
    """Return the path of the system's Chromium."""
    return next(filter(None, map(shutil.which, (*NAMES, *MAC))), None)


def launch(playwright):
    """Start the browser; where there is none, skip, and in CI fail."""
    executable = find_chromium()
    if executable is None:
        (pytest.fail if in_ci() else pytest.skip)(MISSING)
    return playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
