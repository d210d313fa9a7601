"""The paper's experiment from a terminal: ``icl-lib compare`` and ``icl-lib sweep``."""

import argparse
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

SHORT = (
    "accuracy_zero_shot", "accuracy_in_context", "accuracy_finetuned", "rec2ftp",
    "rec2ftp_base_rate", "simaou", "simaou_raw", "simam_before", "simam", "simam_change",
    "kendall_published", "kendall_a_query", "kendall_a_input", "update_cosine",
)  # fmt: skip
"""What is printed; the file holds everything."""


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
        Name of another task for that control.
    device
        Where the model lives.
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
    options: dict
    finetuning: dict
    threads: int | None = None


def add_compare(commands) -> None:
    """Add ``icl-lib compare``."""
    one = commands.add_parser(
        "compare", help="in-context learning against finetuning, as the paper measures it"
    )
    one.add_argument("--model", required=True, help="NAME the book ships, hub name, folder or file")
    one.add_argument("--task", required=True, help="lab task, or sst2, sst5, mr, subj, agnews, cb")
    one.add_argument("--out", type=Path, required=True, help="file to write, ends in .parquet")
    one.add_argument("--seeds", type=int, nargs="+", default=[0])
    one.add_argument("--lr", type=float, default=0.01, help="step size of finetuning (0.01)")
    _shared(one)
    one.set_defaults(command=run_compare)


def add_sweep(commands) -> None:
    """Add ``icl-lib sweep``."""
    many = commands.add_parser("sweep", help="seeds × step sizes × tasks × models, resumable")
    many.add_argument("--models", nargs="+", required=True)
    many.add_argument("--tasks", nargs="+", required=True)
    many.add_argument("--out", type=Path, required=True, help="folder of the results")
    many.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 8)))
    many.add_argument("--lrs", type=float, nargs="+", help="step sizes (the paper's 36)")
    many.add_argument("--jobs", type=int, default=1, help="processes; -1: one a core (1)")
    many.add_argument("--ray", metavar="ADDRESS", help="of a Ray cluster in place of processes")
    _shared(many)
    many.set_defaults(command=run_sweep)


def _shared(parser: argparse.ArgumentParser) -> None:
    # choices are checked by the library, so that this parser needs no torch
    parser.add_argument("--demonstrations", type=int, default=32, help="number (32)")
    parser.add_argument("--queries", type=int, default=256, help="number, 0 for all (256)")
    parser.add_argument("--position", default="prediction", help="prediction or published")
    parser.add_argument("--controls", nargs="*", help="names (all that need nothing else)")
    parser.add_argument("--wrong-task", help="another task for the control of that name")
    parser.add_argument("--balanced", action="store_true", help="demonstrations of all classes")
    parser.add_argument("--heads", action="store_true", help="a row for each head, too")
    parser.add_argument("--parameters", default="keys-values", help="that finetuning trains")
    parser.add_argument("--no-biases", action="store_true", help="freeze their biases")
    parser.add_argument("--loss-on", default="all", help="all tokens or label")
    parser.add_argument("--descent", default="plain", help="plain or layer-causal")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--data", default="hf:", help="folder of the data sets (the hub)")
    parser.add_argument("--variant", default="paper", help="template: paper or code")
    parser.add_argument("--tokenizer", help="name, folder or JSON file (the model's)")
    parser.add_argument("--tokens-at-once", type=int, default=2048, help="memory, nothing else")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps")
    parser.add_argument("--threads", type=int, help="of torch in each process")


def _settings(options: argparse.Namespace) -> Settings:
    names = ("demonstrations", "position", "balanced", "heads", "tokens_at_once")
    kept = {name: getattr(options, name) for name in names}
    kept["queries"] = options.queries or None
    if options.controls is not None:
        kept["controls"] = tuple(options.controls)
    elif options.wrong_task:
        from icl_lib.meta import CONTROLS

        kept["controls"] = tuple(CONTROLS)
    how = {name: getattr(options, name) for name in ("parameters", "loss_on", "descent", "passes")}
    how["biases"] = not options.no_biases
    about = (getattr(options, n) for n in ("data", "variant", "tokenizer", "wrong_task", "device"))
    return Settings(*about, kept, how, options.threads)


def measure(settings: Settings, model: str, task: str, seeds: tuple[int, ...], lr: float):
    """Load model and task by name and compare; see :func:`icl_lib.meta.compare`."""
    import torch

    from icl_lib.meta import Finetuning, compare
    from icl_lib.tasks.catalogue import find_task

    if settings.threads:
        torch.set_num_threads(settings.threads)
    network, tokenizer = load_model(model, settings.tokenizer)
    where = {"source": settings.data, "variant": settings.variant}
    other = settings.wrong_task
    return compare(
        network.to(settings.device),
        find_task(task, tokenizer, **where),
        wrong_task=None if other is None else find_task(other, tokenizer, **where),
        seeds=seeds,
        finetuning=Finetuning(lr=lr, **settings.finetuning),
        name=model,
        **settings.options,
    )


def measure_cell(settings: Settings, cell):
    """Measure one cell of a sweep."""
    return measure(settings, cell.model, cell.task, (cell.seed,), cell.lr)


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


def run_compare(options: argparse.Namespace) -> int:
    """Compare, print the headline numbers with their controls, and write everything."""
    if options.out.suffix != ".parquet":
        raise ValueError(f"--out names a file that ends in .parquet, got {options.out}")
    settings = _settings(options)
    found = measure(settings, options.model, options.task, tuple(options.seeds), options.lr)
    found.save(options.out)
    table = found.summary()
    print(table.loc[[name for name in SHORT if name in table.index]].to_string(
        float_format=lambda x: f"{x:.3f}", na_rep="", index_names=False
    ))  # fmt: skip
    print(f"\n{options.out}: {len(found.table):,} rows")
    return 0


def run_sweep(options: argparse.Namespace) -> int:
    """Run a sweep; say what was done, found and failed."""
    from icl_lib.meta.choice import PAPER_STEP_SIZES
    from icl_lib.meta.sweep import grid, sweep

    settings = _settings(options)
    lrs = options.lrs or list(PAPER_STEP_SIZES)
    cells = grid(options.models, options.tasks, options.seeds, lrs)
    _same_settings(options.out, settings)
    report = sweep(
        partial(measure_cell, settings), cells, options.out,
        jobs=options.jobs, address=options.ray, progress=print,
    )  # fmt: skip
    print(report.summary())
    return 1 if report.failed else 0


def _same_settings(out: Path, settings: Settings) -> None:
    """Keep the settings beside the results; refuse to mix two kinds in one folder."""
    import json

    what = {k: v for k, v in asdict(settings).items() if k not in ("device", "threads")}
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
