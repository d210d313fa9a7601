"""A GPT that reads numbers instead of words: read-in, the same trunk, read-out.

A language model looks up a vector for each word; here a linear layer makes the vector from the
numbers of a token. At the other end a linear layer reads one number. All between is the GPT of
chapter 3, unchanged.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from icl_lib.models.gpt import GPT, GPTConfig


@dataclass(frozen=True)
class RegressorConfig:
    """Size of an :class:`InContextRegressor`.

    Attributes
    ----------
    dimension
        d, inputs of the functions; a token has d + 1 numbers.
    points
        Most pairs in a prompt; the context is twice as long.
    layers, heads, width
        L, H and D of the trunk.
    """

    dimension: int
    points: int
    layers: int
    heads: int
    width: int

    def trunk(self) -> GPTConfig:
        """Return the configuration of the GPT inside."""
        return GPTConfig(
            vocab_size=None,
            context=2 * self.points,
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            activation="gelu_tanh",
            init="fan_in",
        )


class InContextRegressor(nn.Module):
    """A small GPT on tokens of numbers.

    Parameters
    ----------
    config
        Its size.
    seed
        Decides the initial weights, of standard deviation 1/√(number of inputs); the global
        generator is neither used nor changed.

    Explained in: 01_learning_without_learning
    """

    def __init__(self, config: RegressorConfig, *, seed: int = 0):
        super().__init__()
        self.config = config
        self.read_in = nn.utils.skip_init(nn.Linear, config.dimension + 1, config.width)
        self.trunk = GPT(config.trunk(), seed=seed)
        self.read_out = nn.utils.skip_init(nn.Linear, config.width, 1)
        generator = torch.Generator().manual_seed(seed)
        for layer in (self.read_in, self.read_out):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Float[Tensor, "B T d1"]) -> Float[Tensor, "B T"]:
        """Return the number said at each token, from that token and those before it.

        Parameters
        ----------
        tokens
            Width d + 1, as :func:`icl_lib.tasks.regression.interleave` writes them. The answer to
            x_i is read at its token: every second output.

        Raises
        ------
        ValueError
            If the width of the tokens is not d + 1.
        """
        if tokens.shape[-1] != self.config.dimension + 1:
            raise ValueError(
                f"tokens have width {tokens.shape[-1]}, expected {self.config.dimension + 1} "
                f"(d = {self.config.dimension} inputs and one target)"
            )
        return self.read_out(self.trunk.run(self.read_in(tokens)))[..., 0]
