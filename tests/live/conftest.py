"""One browser for all live figures."""

import pytest

from live.harness import launch


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        started = launch(running)
        yield started
        started.close()
