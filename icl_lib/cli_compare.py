"""The paper's experiment from a terminal: ``icl-lib compare`` and ``icl-lib sweep``."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

SHORT = (
    "accuracy_zero_shot", "accuracy_in_context", "accuracy_finetuned", "rec2ftp",
    "rec2ftp_base_rate", "simaou", "simaou_raw", "simam_before", "simam", "simam_change",
    "kendall_published", "kendall_a_query", "kendall_a_input", "update_cosine",
)  # fmt: skip
"""What is printed; the file holds everything."""

AUTO, FIT, ALL, BOTH = "auto", "fit", "all", "both"
"""Words in place of a step size, a number of demonstrations, names of controls, a position."""


@dataclass(frozen=True)
class Settings:
    """How a comparison is made, in words that can travel to another process.

    Attributes
    ----------
    data
        Folder of the data sets, or ``hf:``.
    variant
        Of the template: paper or code.
    tokenizer
        Name or file, or that of the model.
    wrong_task
        Name of another task for that control; ``auto`` for one that asks for something else.
    device
        Where the model lives.
    demonstrations
        Their number; ``fit`` for 32 or as many as fit with all seeds; ``None`` for 16 of the lab
        language and 32 of texts.
    seeds
        All of them, to know what fits.
    options
        Those of :func:`icl_lib.meta.compare` that are plain data.
    finetuning
        Those of :class:`icl_lib.meta.Finetuning`.
    threads
        Of torch in each process.
    """

    data: str
    variant: str
    tokenizer: str | None
    wrong_task: str | None
    device: str
    demonstrations: int | str | None
    seeds: tuple[int, ...]
    options: dict
    finetuning: dict
    threads: int | None = None


def add_compare(commands) -> None:
    """Add ``icl-lib compare``."""
    one = commands.add_parser(
        "compare", help="in-context learning against finetuning, as the paper measures it"
    )
    one.add_argument("--model", required=True, help="NAME the book ships, hub name, folder or file")
    one.add_argument("--task", required=True, nargs="+", help=(
        "sst2, sst5, mr, subj, agnews, cb; a task of the lab language; or six of them: lab, real"
    ))  # fmt: skip
    one.add_argument("--out", type=Path, required=True, help="file to write, ends in .parquet")
    one.add_argument("--seeds", type=int, nargs="+", default=list(range(5)), help="(0 to 4)")
    one.add_argument("--lr", type=_step_size, help=(
        "step size of finetuning, or auto: the best on other tasks (auto for the lab language, "
        "0.01 for texts)"
    ))  # fmt: skip
    one.add_argument("--candidates", type=float, nargs="+", help="for auto (the paper's 36)")
    one.add_argument("--plot", nargs="+", default=[], metavar="NAME", help=(
        "draw plots of the result beside the file, as SVG, such as simaou or controls:simam; an "
        "unknown name lists those there are"
    ))  # fmt: skip
    _shared(one)
    one.set_defaults(command=run_compare)


def add_sweep(commands) -> None:
    """Add ``icl-lib sweep``."""
    many = commands.add_parser("sweep", help="seeds × step sizes × tasks × models, resumable")
    many.add_argument("--models", nargs="+", required=True)
    many.add_argument("--tasks", nargs="+", required=True, help="or the names lab, real of six")
    many.add_argument("--out", type=Path, required=True, help="folder of the results")
    many.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 8)), help="(1 to 7)")
    many.add_argument("--lrs", type=float, nargs="+", help="step sizes (the paper's 36)")
    many.add_argument("--jobs", type=int, default=1, help="processes; -1: one a core (1)")
    many.add_argument("--ray", metavar="ADDRESS", help="of a Ray cluster in place of processes")
    many.add_argument("--dry-run", action="store_true", help="say what is left, measure nothing")
    _shared(many)
    many.set_defaults(command=run_sweep)


def _step_size(text: str) -> float | str:
    return text if text == AUTO else float(text)


def _number(text: str) -> int | str:
    return text if text == FIT else int(text)


def _shared(parser: argparse.ArgumentParser) -> None:
    # choices are checked by the library, so that this parser needs no torch
    parser.add_argument("--demonstrations", type=_number, help=(
        "number, or fit: 32, or as many as fit the context (16 of the lab language, 32 of texts)"
    ))  # fmt: skip
    parser.add_argument("--queries", type=int, default=256, help="number, 0 for all (256)")
    parser.add_argument("--position", default="prediction", help="prediction, published, or both")
    parser.add_argument("--controls", nargs="*", default=[ALL], help="names, or all (all)")
    parser.add_argument("--wrong-task", default=AUTO, help=(
        "whose demonstrations are the wrong ones (auto: of the same six, one that asks for "
        "something else)"
    ))  # fmt: skip
    parser.add_argument("--balanced", action="store_true", help="demonstrations of all classes")
    parser.add_argument("--heads", action="store_true", help="a row for each head, too")
    parser.add_argument("--spectra", type=int, default=16, help="queries with spectra (16)")
    parser.add_argument("--parameters", default="keys-values", help="that finetuning trains")
    parser.add_argument("--no-biases", action="store_true", help="freeze their biases")
    parser.add_argument("--loss-on", default="all", help="all tokens or label")
    parser.add_argument("--descent", default="plain", help="plain or layer-causal")
    parser.add_argument("--passes", type=int, default=1, help="over the demonstrations (1)")
    parser.add_argument("--batch", type=int, default=1, help="demonstrations a step (1)")
    parser.add_argument("--momentum", type=float, default=0.0, help="of descent (0)")
    parser.add_argument("--data", default="hf:", help="folder of the data sets (the hub)")
    parser.add_argument("--variant", default="paper", help="template: paper or code")
    parser.add_argument("--tokenizer", help="name, folder or JSON file (the model's)")
    parser.add_argument("--tokens-at-once", type=int, default=2048, help="memory, nothing else")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps")
    parser.add_argument("--threads", type=int, help="of torch in each process")


def _settings(options: argparse.Namespace) -> Settings:
    from icl_lib.meta import CONTROLS
    from icl_lib.meta.controls import DEFAULT

    names = ("position", "balanced", "heads", "spectra", "tokens_at_once")
    kept = {name: getattr(options, name) for name in names}
    kept["queries"] = options.queries or None
    kept["controls"] = tuple(CONTROLS) if options.controls == [ALL] else tuple(options.controls)
    wrong = options.wrong_task if "wrong-task" in kept["controls"] else None
    if options.wrong_task == "none":
        kept["controls"] = tuple(c for c in kept["controls"] if c in DEFAULT)
        wrong = None
    how = ("parameters", "loss_on", "descent", "passes", "batch", "momentum")
    how = {name: getattr(options, name) for name in how} | {"biases": not options.no_biases}
    about = (options.data, options.variant, options.tokenizer, wrong, options.device)
    seeds = tuple(options.seeds)
    return Settings(*about, options.demonstrations, seeds, kept, how, options.threads)


# ---- what is measured --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model that is ready to be compared, by name and with its tokenizer."""

    settings: Settings
    name: str
    network: object
    tokenizer: object

    @classmethod
    def of(cls, settings: Settings, name: str) -> "Loaded":
        """Load a model; see :func:`load_model`."""
        import torch

        if settings.threads:
            torch.set_num_threads(settings.threads)
        network, tokenizer = load_model(name, settings.tokenizer)
        return cls(settings, name, network.to(settings.device), tokenizer)

    def task(self, name: str):
        """Return a task for this model's tokenizer."""
        from icl_lib.tasks.catalogue import find_task

        s = self.settings
        return find_task(name, self.tokenizer, source=s.data, variant=s.variant)

    def demonstrations(self, task) -> int:
        """Return how many demonstrations of a task are shown."""
        from icl_lib.meta import count_that_fits
        from icl_lib.tasks.catalogue import DEMONSTRATIONS, REAL, group_of

        s, context = self.settings, self.network.config.context
        if s.demonstrations is None:
            return DEMONSTRATIONS[group_of(task.name)]
        if s.demonstrations != FIT:
            return s.demonstrations
        most = min(DEMONSTRATIONS[REAL], len(task.split("train")))
        queries = s.options["queries"]
        return count_that_fits(context, task, most=most, seeds=s.seeds, queries=queries)

    def prepare(self, name: str, seeds: Sequence[int], position: str, **more):
        """Return a comparison that waits for a way of finetuning."""
        from icl_lib.meta import prepare

        task = self.task(name)
        return prepare(
            self.network,
            task,
            demonstrations=self.demonstrations(task),
            wrong_task=self.wrong_task(name),
            seeds=seeds,
            name=self.name,
            **self.settings.options | {"position": position} | more,
        )

    def wrong_task(self, name: str):
        """Return the task for the control of that name, ``None`` if it is not wanted."""
        from icl_lib.tasks.catalogue import wrong_tasks_for

        wanted = self.settings.wrong_task
        if wanted != AUTO:
            return None if wanted is None else self.task(wanted)
        others = wrong_tasks_for(name)
        for other in others:
            try:
                return self.task(other)
            except FileNotFoundError:
                continue
        raise FileNotFoundError(
            f"the control wrong-task of {name} needs one of {', '.join(others)} in "
            f"{self.settings.data}; leave it out with --wrong-task none"
        )


def positions(settings: Settings) -> tuple[str, ...]:
    """Return where is measured, one after the other."""
    from icl_lib.meta.observe import POSITIONS

    asked = settings.options["position"]
    return POSITIONS if asked == BOTH else (asked,)


def prepare_cells(settings: Settings, model: str, task: str, seed: int):
    """Return what compares one seed with any step size: the work of :func:`sweep`'s processes."""
    from icl_lib.meta import Finetuning, Result

    loaded = Loaded.of(settings, model)
    ready = [loaded.prepare(task, (seed,), position) for position in positions(settings)]

    def compare(lr: float):
        found = [each(Finetuning(lr=lr, **settings.finetuning)) for each in ready]
        return found[0] if len(found) == 1 else Result.concat(found)

    return compare


def step_size(
    loaded: Loaded, reported: Sequence[str], candidates: Sequence[float] | None, tell: Callable
) -> dict[str, float]:
    """Return for each reported task the step size that is best on other ones.

    These are the practice tasks for the lab language, and for a data set those of the other data
    sets that can be read.
    """
    from icl_lib.meta import Finetuning
    from icl_lib.meta.choice import PAPER_STEP_SIZES, best_on, step_size_accuracies
    from icl_lib.tasks.catalogue import GROUPS, PRACTICE, REAL, group_of

    others = {name: GROUPS[REAL if group_of(name) == REAL else PRACTICE] for name in reported}
    others = {name: [n for n in group if n != name] for name, group in others.items()}
    tasks = {}
    for name in dict.fromkeys(n for group in others.values() for n in group):
        try:
            tasks[name] = loaded.task(name)
        except FileNotFoundError as problem:
            tell(f"{name} cannot help to choose a step size: {problem}")
    found = step_size_accuracies(
        loaded.network, list(tasks.values()), candidates=candidates or PAPER_STEP_SIZES,
        finetuning=Finetuning(**loaded.settings.finetuning), seeds=loaded.settings.seeds,
        demonstrations={name: loaded.demonstrations(task) for name, task in tasks.items()},
        queries=loaded.settings.options["queries"], progress=tell,
    )  # fmt: skip
    return {name: best_on(found, [n for n in others[name] if n in found]).lr for name in reported}


class Clock:
    """Tells what is being done and since when, on the channel for errors."""

    def __init__(self, parts: int):
        self.parts, self.done, self.began = parts, 0, time.monotonic()

    def part(self, text: str) -> None:
        """Tell of one of the counted parts."""
        self.done += 1
        self.say(f"[{self.done}/{self.parts}] {text}")

    def say(self, text: str) -> None:
        """Tell something else."""
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", file=sys.stderr, flush=True)


def measure_tasks(
    settings: Settings,
    model: str,
    names: Sequence[str],
    lr: float | str | None,
    candidates: Sequence[float] | None = None,
):
    """Load a model, choose step sizes where asked to, and compare on every task."""
    from icl_lib.meta import Finetuning, Result
    from icl_lib.meta.prepared import UNTRAINED
    from icl_lib.tasks.catalogue import REAL, group_of

    loaded, seeds = Loaded.of(settings, model), settings.seeds
    each = 1 + sum(control in settings.options["controls"] for control in UNTRAINED)
    clock = Clock(len(names) * len(seeds) * each * len(positions(settings)))
    lrs = {n: (0.01 if group_of(n) == REAL else AUTO) if lr is None else lr for n in names}
    auto = [name for name in names if lrs[name] == AUTO]
    if auto:
        lrs |= step_size(loaded, auto, candidates, clock.say)
    found = []
    for name in names:
        count = loaded.demonstrations(loaded.task(name))
        chosen = ", chosen on other tasks" if name in auto else ""
        clock.say(f"{name}: {count} demonstrations, step size {lrs[name]:g}{chosen}")
        for position in positions(settings):
            ready = loaded.prepare(name, seeds, position, remember=False, progress=clock.part)
            found.append(ready(Finetuning(lr=lrs[name], **settings.finetuning)))
    return found[0] if len(found) == 1 else Result.concat(found)


# ---- models by name ----------------------------------------------------------------------------


def load_model(name: str, tokenizer: str | None = None):
    """Return a GPT and the tokenizer for its texts, ``None`` if it reads no texts.

    Parameters
    ----------
    name
        Of a model that the book ships; or a checkpoint that ``icl-lib pretrain`` wrote; or a hub
        name or folder that ``transformers`` can load.
    tokenizer
        A JSON file of this library's, or a name or folder for ``transformers``; in place of the
        model's own.
    """
    from icl_lib.models.convert import load_pretrained
    from icl_lib.recipes import cards, language_model, registry

    own = None if tokenizer is None else load_tokenizer(tokenizer)
    if name in registry.recipes():
        model, card = cards.load_shipped(registry.find(name))
        return model, own or _of_card(card)
    if name.endswith(".safetensors") and Path(name).is_file():
        loaded = language_model.load(name)
        return loaded.model, own or loaded.tokenizer
    return load_pretrained(name), own or load_tokenizer(name)


def load_tokenizer(name: str):
    """Return a tokenizer of this library's from a JSON file, or one of ``transformers``."""
    from icl_lib.tasks import tokenizers
    from icl_lib.tasks.text import read_text

    if name.endswith(".json"):
        return tokenizers.from_json(read_text(name))
    import transformers

    return transformers.AutoTokenizer.from_pretrained(name)


def _of_card(card: dict):
    from icl_lib.tasks import tokenizers

    return tokenizers.from_json(card["tokenizer"]) if "tokenizer" in card else None


# ---- the commands ------------------------------------------------------------------------------


def run_compare(options: argparse.Namespace) -> int:
    """Compare, print the headline numbers with their controls, and write everything."""
    from icl_lib.tasks.catalogue import task_names

    if options.out.suffix != ".parquet":
        raise ValueError(f"--out names a file that ends in .parquet, got {options.out}")
    _known_plots(options.plot)
    names, settings = task_names(options.task), _settings(options)
    found = measure_tasks(settings, options.model, names, options.lr, options.candidates)
    found.save(options.out)
    table = found.summary()
    print(table.loc[[name for name in SHORT if name in table.index]].to_string(
        float_format=lambda x: f"{x:.3f}", na_rep="", index_names=False
    ))  # fmt: skip
    print(f"\n{options.out}: {len(found.table):,} rows")
    for name in options.plot:
        path = options.out.with_name(f"{options.out.stem}-{name.replace(':', '-')}.svg")
        print(draw(found, name, path))
    return 0


def _known_plots(names: Sequence[str]) -> None:
    if names:
        from icl_lib.plots import results

        unknown = [name for name in names if name.partition(":")[0] not in results.NAMES]
        if unknown:
            known = ", ".join(results.NAMES)
            raise ValueError(f"no plot is called {', '.join(unknown)}; there are {known}")


def draw(result, name: str, path: Path) -> Path:
    """Draw a plot of a result to an SVG file.

    Parameters
    ----------
    result
        What was measured.
    name
        Of a plot; behind a colon the metric, or for ``paper`` the quantity, that it shows.
    path
        File to write.
    """
    from icl_lib.plots import results

    name, _, what = name.partition(":")
    options = {"quantity" if name == "paper" else "metric": what} if what else {}
    return results.write(result, name, path, **options)


def run_sweep(options: argparse.Namespace) -> int:
    """Run a sweep; say what was done, found and failed."""
    from icl_lib.meta.choice import PAPER_STEP_SIZES
    from icl_lib.meta.sweep import grid, groups, is_done, sweep
    from icl_lib.tasks.catalogue import task_names

    settings = _settings(options)
    lrs = options.lrs or list(PAPER_STEP_SIZES)
    cells = grid(options.models, task_names(options.tasks), options.seeds, lrs)
    left = [cell for cell in cells if not is_done(options.out, cell)]
    if options.dry_run:
        print(f"{len(cells):,} cells, {len(left):,} left, in {len(groups(left)):,} groups")
        return 0
    _same_settings(options.out, settings)
    report = sweep(
        partial(prepare_cells, settings), cells, options.out,
        jobs=options.jobs, address=options.ray, progress=print,
    )  # fmt: skip
    print(report.summary())
    return 1 if report.failed else 0


def _same_settings(out: Path, settings: Settings) -> None:
    """Keep the settings beside the results; refuse to mix two kinds in one folder."""
    import json

    free = (
        ("device", "threads") if settings.demonstrations == FIT else ("device", "threads", "seeds")
    )
    what = {k: v for k, v in asdict(settings).items() if k not in free}
    what = json.loads(json.dumps(what))
    file = out / "settings.json"
    if file.is_file():
        then = json.loads(file.read_text("utf-8"))
        changed = sorted(k for k in what if then.get(k) != what[k])
        if changed:
            raise ValueError(
                f"{out} holds results with another {', '.join(changed)}; take another folder"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(what, indent=1) + "\n", "utf-8")
