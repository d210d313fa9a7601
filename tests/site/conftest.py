"""The built site, served and visited."""

from pathlib import Path

import pytest
from browser import in_ci
from live.harness import served

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site; where there is none, skip, and in CI fail."""
    if not (SITE / "index.html").exists():
        (pytest.fail if in_ci() else pytest.skip)("there is no built site; run `make book` first")
    return SITE


@pytest.fixture(scope="session")
def address(site):
    """Address of the served site, with a slash at its end."""
    with served(site) as home:
        yield home
