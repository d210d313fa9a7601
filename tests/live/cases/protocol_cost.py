"""The cost of the protocol: both ways, counted by the library from the model's own shape."""

from dataclasses import asdict

from live.harness import Case, Move

from icl_lib.live import ProtocolCost
from icl_lib.meta.cost import GIB, Lengths, Parts, memory, operations, seconds
from icl_lib.models.presets import count_parameters, preset

NAMES = ("gpt2", "gpt2-medium", "fairseq-1.3b")
SCOPES = {"three conditions": Parts.of(()), "with all controls": Parts.of()}


def make() -> ProtocolCost:
    models = [
        {
            "name": name, "layers": c.layers, "width": c.width, "heads": c.heads,
            "vocabulary": c.vocab_size, "context": c.context,
            "parameters": sum(count_parameters(c).values()),
        }
        for name, c in ((name, preset(name)) for name in NAMES)
    ]  # fmt: skip
    return ProtocolCost(models, {k: asdict(v) for k, v in SCOPES.items()}, rate=6e10)


def reference(state: dict) -> dict:
    config, parts = preset(state["chosen"]), SCOPES[state["scope"]]
    lengths = Lengths.alike(state["demonstrations"], 2 ** state["doublings"], state["tokens"])
    time = [operations(config, lengths, parts, shared=shared) for shared in (True, False)]
    space = [sum(memory(config, lengths, parts, shared=s).values()) / GIB for s in (True, False)]
    fast, slow = (seconds(work, state["rate"]) for work in time)
    fit = 0
    while Lengths.alike(fit + 1, 1, state["tokens"]).longest <= config.context:
        fit += 1
    return {
        "seconds_shared": fast,
        "seconds_straight": slow,
        "ratio": slow / fast,
        "gib_shared": space[0],
        "gib_straight": space[1],
        "prompt": lengths.longest,
        "room": config.context - lengths.longest,
        "fit": fit,
    }


CASE = Case(
    make=make,
    moves=(
        Move("combobox", "Model", "ArrowDown", 1),
        Move("combobox", "Measured", "ArrowDown", 1),
        Move("slider", "Demonstrations N", "ArrowRight", 9),
        Move("slider", "Queries Q", "ArrowLeft", 3),
        Move("slider", "Tokens of a text t", "ArrowRight", 7),
        Move("slider", "Operations a second", "ArrowRight", 2),
    ),
    reference=reference,
)
