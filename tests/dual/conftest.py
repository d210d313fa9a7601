"""Fixtures of the dual form's tests."""

import pytest
from jaxtyping import config


@pytest.fixture
def unchecked():
    """Switch the shape checker off: a reader has none and meets the library's own messages."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)
