"""Update rules, written out: what happens to a weight once its gradient is known.

Every rule is one method, ``update``. The bookkeeping around it (groups of parameters, state,
saving) is that of :class:`torch.optim.Optimizer`, so a rule goes wherever an optimiser of torch
goes, and a test holds each rule to its torch namesake.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

Number = float | Tensor


def _check_range(name: str, value: Number, low: float, high: float = float("inf")) -> None:
    numbers = torch.as_tensor(value, dtype=torch.float64)
    if not bool(((numbers >= low) & (numbers < high)).all()):
        bounds = f"at least {low:g}" + ("" if high == float("inf") else f" and below {high:g}")
        raise ValueError(f"{name} must be {bounds}, got {value}")


class Rule(torch.optim.Optimizer):
    r"""What all rules share: walk over the parameters and update each that has a gradient.

    A setting (step size, momentum, …) is a number, or a tensor that broadcasts against the
    parameter: then one descent runs a whole sweep of settings at once.

    Parameters
    ----------
    parameters
        Tensors, or dictionaries with ``"params"`` and settings of their own (torch's groups).
    settings
        Default settings, by name.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Explained in: 04_gradient_descent
    """

    def __init__(self, parameters: Iterable[Tensor] | Iterable[dict], **settings: object):
        self.names = tuple(settings)
        super().__init__(parameters, settings)
        for group in self.param_groups:
            self.check(group)

    def check(self, settings: Mapping[str, object]) -> None:
        """Raise ``ValueError`` if a setting is out of its range."""
        _check_range("lr", settings["lr"], 0)
        _check_range("weight_decay", settings["weight_decay"], 0)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient, in place.

        Parameters
        ----------
        closure
            Computes the loss and its gradients first; rarely needed.

        Returns
        -------
        Tensor or None
            The loss of ``closure``.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            settings = {name: group[name] for name in self.names if name != "maximize"}
            for theta in group["params"]:
                if theta.grad is not None:
                    gradient = -theta.grad if group["maximize"] else theta.grad
                    if gradient.is_sparse or gradient.is_complex():
                        raise TypeError("rules take dense real gradients; use torch.optim instead")
                    self.update(theta, gradient, self.state[theta], **settings)
        return loss

    def update(
        self, theta: Float[Tensor, "..."], gradient: Float[Tensor, "..."], memory: dict, **settings
    ) -> None:
        """Change ``theta`` in place; ``memory`` is what the rule remembers of this parameter."""
        raise NotImplementedError


class SGD(Rule):
    r"""Gradient descent: a step against the gradient.

    .. math:: θ ← θ − η\,g, \qquad g = ∇L(θ) + δ\,θ

    The name says "stochastic" because ``g`` usually comes from a minibatch; the rule is the same.

    Parameters
    ----------
    parameters
        Tensors or groups.
    lr
        Step size η.
    weight_decay
        δ, a pull towards zero.
    maximize
        Climb instead of descend: use −∇L.

    Explained in: 04_gradient_descent
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict],
        lr: Number,
        *,
        weight_decay: Number = 0.0,
        maximize: bool = False,
    ):
        super().__init__(parameters, lr=lr, weight_decay=weight_decay, maximize=maximize)

    def update(self, theta, gradient, memory, *, lr, weight_decay):
        """Apply the rule to one parameter."""
        theta -= lr * (gradient + weight_decay * theta)


class Momentum(Rule):
    r"""Heavy ball: the step follows a velocity that remembers earlier gradients.

    .. math::
        v ← μ\,v + (1 − τ)\,g, \qquad θ ← θ − η\,v, \qquad g = ∇L(θ) + δ\,θ

    The first velocity is ``g`` itself.

    Parameters
    ----------
    parameters
        Tensors or groups.
    lr
        Step size η.
    momentum
        μ in [0, 1): the share of the velocity that survives a step.
    dampening
        τ: how much of the new gradient is held back.
    weight_decay
        δ, a pull towards zero.
    maximize
        Climb instead of descend.

    Source: Polyak 1964, with the velocity written out as in ``torch.optim.SGD``.
    Differs from the paper: the step size multiplies the whole velocity, not each new gradient;
    the two are the same as long as η stays constant.
    Explained in: 04_gradient_descent
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict],
        lr: Number,
        *,
        momentum: Number = 0.9,
        dampening: Number = 0.0,
        weight_decay: Number = 0.0,
        maximize: bool = False,
    ):
        super().__init__(
            parameters,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def check(self, settings: Mapping[str, object]) -> None:
        """Raise ``ValueError`` if a setting is out of its range."""
        super().check(settings)
        _check_range("momentum", settings["momentum"], 0, 1)

    def update(self, theta, gradient, memory, *, lr, momentum, dampening, weight_decay):
        """Apply the rule to one parameter."""
        gradient = gradient + weight_decay * theta
        if "momentum_buffer" not in memory:
            memory["momentum_buffer"] = gradient.clone()
        else:
            old = memory["momentum_buffer"]
            memory["momentum_buffer"] = momentum * old + (1 - dampening) * gradient
        theta -= lr * memory["momentum_buffer"]


class Nesterov(Rule):
    r"""Momentum that looks one step ahead.

    .. math::
        v ← μ\,v + g, \qquad θ ← θ − η\,(g + μ\,v), \qquad g = ∇L(θ) + δ\,θ

    Parameters
    ----------
    parameters
        Tensors or groups.
    lr
        Step size η.
    momentum
        μ in [0, 1).
    weight_decay
        δ, a pull towards zero.
    maximize
        Climb instead of descend.

    Source: Nesterov 1983, in the form of Sutskever et al. 2013 after the change of variable that
    ``torch.optim.SGD(nesterov=True)`` makes: θ is the point looked at.
    Explained in: 04_gradient_descent
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict],
        lr: Number,
        *,
        momentum: Number = 0.9,
        weight_decay: Number = 0.0,
        maximize: bool = False,
    ):
        super().__init__(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, maximize=maximize
        )

    def check(self, settings: Mapping[str, object]) -> None:
        """Raise ``ValueError`` if a setting is out of its range."""
        super().check(settings)
        _check_range("momentum", settings["momentum"], 0, 1)

    def update(self, theta, gradient, memory, *, lr, momentum, weight_decay):
        """Apply the rule to one parameter."""
        gradient = gradient + weight_decay * theta
        old = memory.get("momentum_buffer", 0.0)
        memory["momentum_buffer"] = momentum * old + gradient
        theta -= lr * (gradient + momentum * memory["momentum_buffer"])


class Adam(Rule):
    r"""Adam: a running mean of the gradient, divided by a running root mean square of it.

    .. math::
        m &← β_1 m + (1 − β_1)\,g, & v &← β_2 v + (1 − β_2)\,g^2, \\
        \hat m &= m / (1 − β_1^t), & \hat v &= v / (1 − β_2^t), \qquad
        θ ← θ − η\,\hat m / (\sqrt{\hat v} + ε)

    with :math:`g = ∇L(θ) + δ\,θ` and everything elementwise.

    Parameters
    ----------
    parameters
        Tensors or groups.
    lr
        Step size η: about how far each coordinate moves in one step.
    betas
        β₁, β₂ in [0, 1).
    eps
        ε, which keeps the division finite.
    weight_decay
        δ, added to the gradient, so the division rescales it too; see :class:`AdamW`.
    amsgrad
        Divide by the largest v so far instead of the present one.
    maximize
        Climb instead of descend.

    Source: Kingma and Ba 2015, algorithm 1; amsgrad: Reddi, Kale and Kumar 2018, algorithm 2.
    Differs from the paper: amsgrad takes the largest v before the bias correction, as torch does;
    the paper has no bias correction.
    Explained in: 04_gradient_descent
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict],
        lr: Number = 1e-3,
        *,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Number = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
    ):
        super().__init__(
            parameters,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
        )

    def check(self, settings: Mapping[str, object]) -> None:
        """Raise ``ValueError`` if a setting is out of its range."""
        super().check(settings)
        _check_range("eps", settings["eps"], 0)
        _check_range("betas[0]", settings["betas"][0], 0, 1)
        _check_range("betas[1]", settings["betas"][1], 0, 1)

    def update(self, theta, gradient, memory, *, lr, betas, eps, weight_decay, amsgrad):
        """Apply the rule to one parameter."""
        gradient = gradient + weight_decay * theta
        theta -= lr * self.direction(gradient, memory, betas=betas, eps=eps, amsgrad=amsgrad)

    @staticmethod
    def direction(
        gradient: Float[Tensor, "*shape"],
        memory: dict,
        *,
        betas: tuple[Number, Number],
        eps: float,
        amsgrad: bool = False,
    ) -> Float[Tensor, "*shape"]:
        """Return the step before it is multiplied by the step size, and update ``memory``."""
        beta1, beta2 = betas
        t = memory["step"] = memory.get("step", 0) + 1
        m = memory["exp_avg"] = beta1 * memory.get("exp_avg", 0.0) + (1 - beta1) * gradient
        v = memory["exp_avg_sq"] = beta2 * memory.get("exp_avg_sq", 0.0) + (1 - beta2) * gradient**2
        if amsgrad:
            largest = memory.get("max_exp_avg_sq", torch.zeros_like(v))
            v = memory["max_exp_avg_sq"] = torch.maximum(largest, v)
        return (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)


class AdamW(Adam):
    r"""Adam with weight decay taken out of the gradient.

    .. math:: θ ← (1 − ηδ)\,θ − η\,\hat m / (\sqrt{\hat v} + ε), \qquad g = ∇L(θ)

    Parameters
    ----------
    parameters
        Tensors or groups.
    lr
        Step size η.
    betas, eps, amsgrad, maximize
        As in :class:`Adam`.
    weight_decay
        δ; every weight shrinks by the same share, whatever its gradients were.

    Source: Loshchilov and Hutter 2019, algorithm 2, with the schedule multiplier inside η.
    Differs from the paper: the decay is multiplied by the step size, as in ``torch.optim.AdamW``.
    Explained in: 04_gradient_descent
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict],
        lr: Number = 1e-3,
        *,
        betas: tuple[Number, Number] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: Number = 0.01,
        amsgrad: bool = False,
        maximize: bool = False,
    ):
        super().__init__(
            parameters,
            lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
        )

    def update(self, theta, gradient, memory, *, lr, betas, eps, weight_decay, amsgrad):
        """Apply the rule to one parameter."""
        theta *= 1 - lr * weight_decay
        theta -= lr * self.direction(gradient, memory, betas=betas, eps=eps, amsgrad=amsgrad)
