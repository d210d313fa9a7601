"""A toy task, tiny models of three architectures, and the literal protocol."""

import importlib.util
from pathlib import Path

import pytest
import torch

from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.tasks.classification import Example


class Toy:
    """Random words; the class is a function of the first one. One label has two tokens."""

    name = "toy"
    labels = ("yes", "no", "may be")

    def __init__(self, *, opening=(0,), between=(1,), long_label=True, examples=60):
        self.prefix = torch.tensor(opening, dtype=torch.long)
        self.separator = torch.tensor(between, dtype=torch.long)
        self.filler = torch.tensor([2])
        third = [5, 6] if long_label else [5]
        self.label_tokens = (torch.tensor([3]), torch.tensor([4]), torch.tensor(third))
        self.examples = examples

    def split(self, name):
        generator = torch.Generator().manual_seed(len(name))
        found = []
        for _ in range(self.examples):
            length = int(torch.randint(2, 6, (), generator=generator))
            words = torch.randint(7, 30, (length,), generator=generator).tolist()
            found.append(Example((tuple(words),), words[0] % 3))
        return found

    def render(self, example):
        return torch.tensor(list(example.parts[0]))


@pytest.fixture(scope="session")
def make_toy():
    return Toy


@pytest.fixture(scope="session")
def toy():
    return Toy()


def tiny(**options):
    config = {"vocab_size": 30, "context": 128, "layers": 3, "heads": 2, "width": 16}
    config |= {"init": "fan_in", "positions": "sinusoidal"}
    return GPT(GPTConfig(**config | options), seed=1, dtype=torch.float64).eval()


@pytest.fixture(scope="session")
def make_tiny():
    return tiny


@pytest.fixture(scope="session")
def model():
    return tiny()


@pytest.fixture(scope="session")
def literal():
    spec = importlib.util.spec_from_file_location("literal", Path(__file__).with_name("literal.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
