"""Shared settings of the test suite."""

import os

import pytest
import torch
from hypothesis import settings
from jaxtyping import config

settings.register_profile("book", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("book")


@pytest.fixture(autouse=True)
def _one_thread():
    """Two cores run two test processes; a test that spreads over both only slows its neighbour."""
    torch.set_num_threads(1)


@pytest.fixture
def shapes_unchecked():
    """For one long computation whose functions other tests call with their shapes checked.

    The checks cost ten times what they check where a grammar calls short functions a million times.
    """
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


def in_ci() -> bool:
    """Tell whether this run is a CI run, where a missing tool is a failure and not a skip."""
    return os.environ.get("CI", "").lower() not in {"", "0", "false"}


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, one for the tests of the live figures and of the site."""
    api = pytest.importorskip("playwright.sync_api")
    from browser import launch

    with api.sync_playwright() as running:
        started = launch(running)
        yield started
        started.close()
