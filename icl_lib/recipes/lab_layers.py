"""Layer by layer on the lab language: two descents, heads, and the course of the training.

What chapter 18 shows is more than a notebook should wait for. It ships as one table, with the
command that makes it again, ``python -m icl_lib.recipes.lab_layers``; the chapter computes a part
of it anew and checks that it agrees.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from icl_lib.meta import Finetuning, finetune, prepare
from icl_lib.meta.choice import best_step_size
from icl_lib.meta.flow import finetuned_changes
from icl_lib.meta.observe import observe
from icl_lib.meta.prompts import (
    choose_demonstrations,
    choose_queries,
    make_batches,
    opening,
    with_demonstrations,
)
from icl_lib.meta.similarity import cosine
from icl_lib.meta.updates import (
    compare_matrices,
    finetuned_updates,
    in_context_update,
    matrix_cosine,
    rotated,
)
from icl_lib.meta.walk import read_prefix
from icl_lib.models.checkpoint import weights_hash
from icl_lib.models.gpt import GPT
from icl_lib.recipes import cards, lab, lab_measured
from icl_lib.tasks.lab_tasks import LabTask, measured_tasks, practice_tasks

PATH = cards.FOLDER / "lab_layers.parquet"
"""Where the table ships."""

DESCENTS = ("plain", "layer-causal")

RATES = (0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Step sizes to choose from, on the practice tasks."""

COLUMNS = ("part", "step", "descent", "task", "seed", "control", "metric", "layer", "head")
"""What names a row; its number is in ``value``.

``part`` is ``descents``, ``heads`` or ``training``; ``control`` is one of the protocol's, and in
``heads`` whose demonstrations ΔW_FT was trained on; layer and head are −1 over all of them.
"""

WORDS = ("part", "descent", "task", "control", "metric")

SIMILARITIES = (
    "simaou", "simaou_raw", "simaou_beside", "simam", "simam_change", "update_cosine",
)  # fmt: skip
"""Metrics of the protocol that the table keeps under every control."""

KEPT = (
    *SIMILARITIES, "accuracy_zero_shot", "accuracy_in_context", "accuracy_finetuned",
    "norm_ratio_icl", "norm_ratio_ft",
)  # fmt: skip
"""Those that it keeps of the comparison itself."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    demonstrations, queries, training_queries
        In a prompt; of each task, for the trained network and for those of the training.
    seeds, training_seeds
        For the trained network, and for every network of the training.
    spectra
        Queries for which the updates of heads are compared.
    controls, training_controls
        As in :data:`icl_lib.meta.controls.CONTROLS`.
    """

    demonstrations: int = lab.DEMONSTRATIONS
    queries: int = 128
    training_queries: int = 96
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    training_seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    spectra: int = 16
    controls: tuple[str, ...] = (
        "none", "untrained", "shuffled-pairing", "shuffled-labels", "wrong-task", "noise",
    )  # fmt: skip
    training_controls: tuple[str, ...] = (
        "none", "shuffled-pairing", "wrong-task", "noise", "closed-form",
    )  # fmt: skip


PLAN = Plan()
"""The book's run."""


# ---- step sizes ---------------------------------------------------------------------------------


def chosen_rate(model: GPT, descent: str, plan: Plan = PLAN) -> float:
    """Return the step size that helps most on the practice tasks.

    Explained in: 18_layer_by_layer
    """
    found = best_step_size(
        model,
        list(practice_tasks().values()),
        candidates=RATES,
        finetuning=Finetuning(descent=descent),
        demonstrations=plan.demonstrations,
        seeds=plan.seeds[:2],
        queries=plan.queries,
    )
    return found.lr


def update_length(model: GPT, descent: str, rate: float, plan: Plan = PLAN) -> float:
    r"""Return the mean of :math:`\sqrt{\sum_l \lVert ΔW^{(l)}\rVert^2}` over the practice tasks.

    Explained in: 18_layer_by_layer
    """
    lengths = []
    for task in practice_tasks().values():
        shown = choose_demonstrations(task, plan.demonstrations, plan.seeds[0])
        how = Finetuning(lr=rate, descent=descent)
        twin, _ = finetune(model, shown, how, opening=task.prefix, trace=False)
        lengths.append(float(finetuned_changes(model, twin).norm()))
    return sum(lengths) / len(lengths)


def matched_rate(model: GPT, rate: float, plan: Plan = PLAN, *, turns: int = 6) -> float:
    """Return the layer-causal step size whose updates are as long as those of plain descent.

    Parameters
    ----------
    model
        Whose updates.
    rate
        Of plain descent.
    plan
        Demonstrations and seed.
    turns
        Corrections; each multiplies the step size by what is missing.

    Explained in: 18_layer_by_layer
    """
    wanted, found = update_length(model, "plain", rate, plan), rate
    for _ in range(turns):
        found *= wanted / update_length(model, "layer-causal", found, plan)
    return found


def rates(model: GPT, plan: Plan = PLAN, *, plain: float | None = None) -> dict[str, float]:
    """Return the step sizes of the three ways to finetune: two chosen, one of equal length.

    Parameters
    ----------
    model
        To be finetuned.
    plan
        Demonstrations, queries, seeds.
    plain
        That of plain descent, if it is known already.

    Explained in: 18_layer_by_layer
    """
    plain = chosen_rate(model, "plain", plan) if plain is None else plain
    return {
        "plain": plain,
        "layer-causal": matched_rate(model, plain, plan),
        "layer-causal, best": chosen_rate(model, "layer-causal", plan),
    }


def finetuning(way: str, rate: float) -> Finetuning:
    """Return the finetuning of one of the three ways."""
    return Finetuning(lr=rate, descent=way.removesuffix(", best"))


# ---- the three parts ----------------------------------------------------------------------------


def protocol_rows(
    model: GPT,
    task: LabTask,
    ways: Mapping[str, float],
    *,
    seeds: Sequence[int],
    controls: Sequence[str],
    queries: int = PLAN.queries,
    demonstrations: int = PLAN.demonstrations,
) -> Iterator[dict]:
    """Yield the kept rows of one task, finetuned in several ways.

    Parameters
    ----------
    model, task
        Who, on what.
    ways
        Names of ways to finetune and their step sizes.
    seeds, controls, queries, demonstrations
        As in :func:`icl_lib.meta.compare`.

    Explained in: 18_layer_by_layer
    """
    wrong = None
    if "wrong-task" in controls:
        wrong = measured_tasks(task.lab)[lab_measured.WRONG_TASKS[task.name]]
    compared = prepare(
        model, task, demonstrations=demonstrations, seeds=seeds, queries=queries,
        controls=controls, wrong_task=wrong, spectra=0, name="lab",
    )  # fmt: skip
    for way, rate in ways.items():
        result = compared(finetuning(way, rate))
        name = {"descent": way, "task": task.name, "layer": -1, "head": -1}
        yield from (name | row for row in answer_rows(result.examples))
        table = result.table
        own = table.metric.isin(KEPT) & (table.control == "none")
        table = table[own | table.metric.isin(SIMILARITIES)]
        for row in table[["seed", "control", "metric", "layer", "value"]].itertuples(index=False):
            layer = -1 if pd.isna(row.layer) else int(row.layer)
            yield row._asdict() | name | {"seed": int(row.seed), "layer": layer}


def answer_rows(examples: pd.DataFrame) -> Iterator[dict]:
    r"""Yield what changes in the answers, for each seed and each control that finetunes anew.

    ``mass_zero_shot``, ``mass_in_context`` and ``mass_finetuned`` are the mean probability of all
    candidate labels together. ``label_change`` is the mean cosine of the two changes *among* the
    labels, which no change of that probability touches:

    .. math:: \cos\bigl(C(\ell_{ICL} - \ell_{ZSL}),\; C(\ell_{FT} - \ell_{ZSL})\bigr)

    with :math:`\ell` the labels' log-probabilities and C taking off their mean.

    Parameters
    ----------
    examples
        Of :attr:`icl_lib.meta.Result.examples`.

    Explained in: 18_layer_by_layer
    """
    for seed, some in examples.groupby("seed"):
        said = {
            key: torch.tensor(rows.sort_values("query").log_probs.tolist(), dtype=torch.float64)
            for key, rows in some.groupby(["control", "condition"])
        }
        zero, icl = (said["none", role] for role in ("zero_shot", "in_context"))
        for (control, role), told in said.items():
            name = {"seed": int(seed), "control": control}
            if control == "none":
                yield name | {"metric": f"mass_{role}", "value": float(told.exp().sum(1).mean())}
            if role == "finetuned":
                a, b = ((x - zero) - (x - zero).mean(1, keepdim=True) for x in (icl, told))
                yield name | {"metric": "label_change", "value": float(cosine(a, b).nanmean())}


def head_rows(
    model: GPT, tasks: Mapping[str, LabTask], how: Finetuning, plan: Plan = PLAN
) -> Iterator[dict]:
    """Yield the comparisons of ΔW_ICL with ΔW_FT, head by head, means over query texts.

    ΔW_FT is trained on the same demonstrations (``own``), on another seed's (``other seed``), on
    another task's (``other task``), or is the own one behind random rotations (``rotated``).

    Explained in: 18_layer_by_layer
    """
    names = list(tasks)
    twins = {
        (name, seed): finetune(
            model,
            choose_demonstrations(tasks[name], plan.demonstrations, seed),
            how,
            opening=tasks[name].prefix,
            trace=False,
        )[0]
        for name in names
        for seed in plan.seeds
    }
    for i, name in enumerate(names):
        for j, seed in enumerate(plan.seeds):
            partners = {
                "own": twins[name, seed],
                "other seed": twins[name, plan.seeds[(j + 1) % len(plan.seeds)]],
                "other task": twins[names[(i + 1) % len(names)], seed],
            }
            found = head_metrics(model, tasks[name], seed, partners, plan)
            for (control, metric), values in found.items():
                for layer, row in enumerate(values.tolist()):
                    for head, value in enumerate(row):
                        place = {"layer": layer, "head": head, "value": value}
                        yield (
                            {"task": name, "seed": seed, "control": control}
                            | {"metric": metric}
                            | place
                        )


@torch.no_grad()
def head_updates(
    model: GPT, task: LabTask, seed: int, partners: Mapping[str, GPT], plan: Plan = PLAN
) -> tuple[Float[Tensor, "1 L H K K"], dict[str, Float[Tensor, "E L H K K"]]]:
    """Return ΔW_ICL of a prompt's demonstrations, and ΔW_FT of several finetuned models.

    Parameters
    ----------
    model, task, seed
        Whose heads, and which demonstrations.
    partners
        Finetuned models by name.
    plan
        Number of demonstrations and of query texts E.

    Source: Dai et al. (2023), eqs. 12 and 13.

    Explained in: 18_layer_by_layer
    """
    prompt = with_demonstrations(task, choose_demonstrations(task, plan.demonstrations, seed))
    icl = in_context_update(read_prefix(model, prompt.tokens, prompt.demonstration))[None]
    texts = [task.render(e) for e in choose_queries(task, plan.spectra)]
    (batch,) = make_batches(texts, tokens_at_once=10**6)
    start = read_prefix(model, opening(task).tokens)
    seen = observe(model, batch, start, task.label_tokens)
    return icl, {
        name: finetuned_updates(model, twin, seen.text_inputs, seen.seen)
        for name, twin in partners.items()
    }


@torch.no_grad()
def head_metrics(
    model: GPT, task: LabTask, seed: int, partners: Mapping[str, GPT], plan: Plan = PLAN
) -> dict[tuple[str, str], Float[Tensor, "L H"]]:
    """Return the comparisons for one prompt by whose ΔW_FT and metric, means over query texts.

    Parameters
    ----------
    model, task, seed, partners, plan
        As in :func:`head_updates`; ``own`` must be among the partners.

    Explained in: 18_layer_by_layer
    """
    icl, updates = head_updates(model, task, seed, partners, plan)
    generator = torch.Generator().manual_seed(seed)
    turned = [  # its own rotations for each head of each layer
        rotated(one, generator) for one in updates["own"].flatten(1, 2).unbind(1)
    ]
    updates["rotated"] = torch.stack(turned, 1).unflatten(1, updates["own"].shape[1:3])
    found = {}
    for name, ft in updates.items():
        values = compare_matrices(icl, ft) | {"update_cosine": matrix_cosine(icl, ft)}
        for metric, value in values.items():
            found[name, metric] = value.nanmean(0)
    return found


def run(
    networks: Mapping[int, GPT],
    plan: Plan = PLAN,
    *,
    plain: float | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[pd.DataFrame, dict]:
    """Measure everything.

    Parameters
    ----------
    networks
        Training step and network, the trained one last.
    plan
        How much.
    plain
        Step size of plain descent; chosen on the practice tasks, if not given.
    progress
        Called with a line of text before each part of the work.

    Returns
    -------
    tuple
        The table, and everything that decided its numbers.

    Explained in: 18_layer_by_layer
    """
    last = max(networks)
    model, tasks = networks[last], measured_tasks()
    found, rows = rates(model, plan, plain=plain), []
    for task in tasks.values():
        progress(f"{task.name}, step sizes {found}")
        name = {"part": "descents", "step": last}
        some = protocol_rows(
            model, task, found, seeds=plan.seeds, controls=plan.controls, queries=plan.queries,
            demonstrations=plan.demonstrations,
        )  # fmt: skip
        rows += [name | row for row in some]
    for way in DESCENTS:
        progress(f"heads, {way}")
        name = {"part": "heads", "step": last, "descent": way}
        rows += [name | r for r in head_rows(model, tasks, finetuning(way, found[way]), plan)]
    for step, network in networks.items():
        progress(f"training step {step}")
        rows += training_rows(network, step, found, tasks, plan)
    table = pd.DataFrame(rows, columns=[*COLUMNS, "value"])
    settings = {"rates": found, "steps": list(networks), "plan": asdict(plan)}
    settings["weights"] = {str(step): weights_hash(n)[:12] for step, n in networks.items()}
    return table, settings


def training_rows(
    network: GPT, step: int, found: Mapping[str, float], tasks: Mapping, plan: Plan = PLAN
) -> list[dict]:
    """Return the rows of one network of the training, with the trained network's step sizes.

    Explained in: 18_layer_by_layer
    """
    ways, name = {way: found[way] for way in DESCENTS}, {"part": "training", "step": step}
    rows = []
    for task in tasks.values():
        some = protocol_rows(
            network, task, ways, seeds=plan.training_seeds, controls=plan.training_controls,
            queries=plan.training_queries, demonstrations=plan.demonstrations,
        )  # fmt: skip
        rows += [name | row for row in some]
    return rows


# ---- saving -------------------------------------------------------------------------------------


def save(path: Path, table: pd.DataFrame, settings: Mapping) -> Path:
    """Write a table, its numbers to four decimals, with its settings."""
    small = table.astype({"step": "int32"} | dict.fromkeys(("seed", "layer", "head"), "int16"))
    small = small.astype(dict.fromkeys(WORDS, "category"))
    small = small.assign(value=small.value.round(4).astype("float32"))
    arrow = pa.Table.from_pandas(small, preserve_index=False)
    about = {**(arrow.schema.metadata or {}), b"icl_settings": json.dumps(settings).encode()}
    whole = arrow.replace_schema_metadata(about)
    pq.write_table(whole, path, compression="zstd", compression_level=19)
    return path


def measured(path: Path = PATH) -> tuple[pd.DataFrame, dict]:
    """Load the table that the book ships, and its settings.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no measurements at {path}")
    arrow = pq.read_table(path)
    settings = json.loads(arrow.schema.metadata[b"icl_settings"])
    return arrow.to_pandas().astype(dict.fromkeys(WORDS, str)), settings


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and half-width of the 95 % interval, by Student's t over seeds or tasks.

    Explained in: 18_layer_by_layer
    """
    from scipy.stats import t

    kept = [v for v in values if math.isfinite(v)]
    n = len(kept)
    mean = sum(kept) / n if n else math.nan
    if n < 2:
        return mean, math.nan
    spread = math.sqrt(sum((v - mean) ** 2 for v in kept) / (n - 1))
    return mean, float(t.ppf(0.975, n - 1)) * spread / math.sqrt(n)


def main(path: str | None = None) -> None:
    """Measure everything, with the step size that the network's card names, and write the table."""
    torch.set_num_threads(1)
    table, settings = run(
        lab.snapshots(),
        plain=lab.shipped()[1]["metrics"]["step_size"],
        progress=lambda text: print(text, flush=True),
    )
    print(save(Path(path) if path else PATH, table, settings), len(table))


if __name__ == "__main__":
    main(*sys.argv[1:])
