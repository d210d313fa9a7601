"""The book's protocols from a terminal.

``icl-lib train``, ``pretrain``, ``compare``, ``sweep``, ``params``, ``claims``.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from icl_lib import cli_compare


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    arguments
        What stands after ``icl-lib``; those of the process when left out.

    Returns
    -------
    int
        0, or 1 after an error that the message explains; wrong usage exits with 2.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyError, ValueError, OSError, RuntimeError, ImportError, ArithmeticError) as problem:
        words = problem.args[0] if isinstance(problem, KeyError) else problem
        print(f"icl-lib: {words}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="icl-lib", description="The book's protocols.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network that the book ships")
    train.add_argument("name", help="which one, for example regression-d5")
    train.add_argument("--out", type=Path, help="file to write (default: NAME.safetensors)")
    train.add_argument("--steps", type=_positive, help="stop after so many steps, write nothing")
    train.add_argument("--fresh", action="store_true", help="do not go on from an interrupted run")
    train.add_argument("--device", default="cpu", help="cpu (default), cuda, mps")
    train.set_defaults(command=_train)

    _add_pretrain(commands)
    cli_compare.add_compare(commands)
    cli_compare.add_sweep(commands)

    params = commands.add_parser("params", help="count the parameters of a model")
    params.add_argument("preset", nargs="?", help="which one; all when left out")
    params.set_defaults(command=_params)

    claims = commands.add_parser("claims", help="list what the book claims and where it was read")
    claims.add_argument("chapter", nargs="?", help="file stem of a chapter, or its beginning")
    claims.set_defaults(command=_claims)
    return parser


def _add_pretrain(commands) -> None:
    own = commands.add_parser("pretrain", help="train a small GPT on a text of your own")
    own.add_argument("file", help="UTF-8 text, JSON list of texts, or hf:NAME of a data set")
    own.add_argument("--tokenizer", choices=("char", "bpe"), default="char")
    own.add_argument("--vocab", type=_positive, default=1024, help="tokens of bpe (1024)")
    own.add_argument("--layers", type=_positive, default=4)
    own.add_argument("--heads", type=_positive, default=4)
    own.add_argument("--width", type=_positive, default=128)
    own.add_argument("--context", type=_positive, default=64, help="in tokens (64)")
    own.add_argument("--dropout", type=float, default=0.0)
    own.add_argument("--batch", type=_positive, default=12)
    own.add_argument("--steps", type=_positive, default=2000)
    own.add_argument("--lr", type=float, default=3e-3, help="step size (3e-3), down to a tenth")
    own.add_argument("--seed", type=int, default=0)
    own.add_argument("--column", default="text", help="of a data set (text)")
    own.add_argument("--split", default="train", help="of a data set (train)")
    own.add_argument("--out", type=Path, default=Path("own-text.safetensors"))
    own.add_argument("--fresh", action="store_true", help="do not go on from an interrupted run")
    own.add_argument("--device", default="cpu", help="cpu (default), cuda, mps")
    own.set_defaults(command=_pretrain, default=own.get_default)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text}")
    return number


def _train(options: argparse.Namespace) -> int:
    from icl_lib import optim
    from icl_lib.recipes import registry

    recipe = registry.find(options.name)
    if options.steps is not None:
        run = recipe.train(
            recipe.untrained().to(options.device),
            steps=options.steps,
            callbacks=[optim.Progress(recipe.name)],
        )
        print(f"loss of the last step: {run.loss:.6g}")
        return 0
    return _to_file(recipe, options.out or Path(f"{recipe.name}.safetensors"), options)


def _pretrain(options: argparse.Namespace) -> int:
    from icl_lib.recipes.own_text import OwnText
    from icl_lib.tasks.sources import load_text

    texts = load_text(options.file, column=options.column, split=options.split)
    recipe = OwnText(
        tuple(texts),
        tokenizer_kind=options.tokenizer,
        vocab=options.vocab,
        layers=options.layers,
        heads=options.heads,
        width=options.width,
        context=options.context,
        dropout=options.dropout,
        batch=options.batch,
        steps=options.steps,
        warmup=max(1, min(100, options.steps // 10)),
        step_size=options.lr,
        final_step_size=options.lr / 10,
        seed=options.seed,
        origin=_origin(options),
        command=_again(options),
    )
    return _to_file(recipe, options.out, options)


def _origin(options: argparse.Namespace) -> str:
    """Return where the text comes from, without the folders of this machine."""
    return options.file if options.file.startswith("hf:") else Path(options.file).name


def _again(options: argparse.Namespace) -> str:
    """Return the command that repeats a pre-training, with every option that decides it."""
    told = {"steps": options.steps, "tokenizer": options.tokenizer}
    for name, value in vars(options).items():
        decides = name not in ("file", "out", "fresh", "device", "command", "default")
        if decides and value != options.default(name):
            told.setdefault(name, value)
    words = (word for name, value in told.items() for word in (f"--{name}", str(value)))
    return shlex.join(["icl-lib", "pretrain", _origin(options), *words])


def _to_file(recipe, out: Path, options: argparse.Namespace) -> int:
    """Train, keep the state beside the file that is to come, and print what was measured."""
    from icl_lib import optim
    from icl_lib.recipes import cards

    if out.is_dir():
        raise ValueError(f"{out} is a folder; --out names the file to write")
    progress = out.with_name(f"{out.name}.run")
    if options.fresh:
        progress.unlink(missing_ok=True)
    run, card = cards.train_and_save(
        recipe,
        out,
        callbacks=[optim.Progress(recipe.name), optim.Checkpoint(progress, every=100), _tell],
        device=options.device,
    )
    if run.interrupted:
        print(f"{run.summary()}")
        return 1
    progress.unlink(missing_ok=True)
    print(f"{out}: {out.stat().st_size:,} bytes")
    for name, value in card["metrics"].items():
        print(f"  {name}: {value:.4g}")
    return 0


def _tell(run) -> None:
    """Print what was measured at this step, above the progress bar."""
    from tqdm import tqdm

    if run.records and run.records[-1]["step"] == run.step:
        row = run.records[-1].items()
        tqdm.write("  ".join(f"{name} {value:.4g}" for name, value in row))


def _params(options: argparse.Namespace) -> int:
    from icl_lib.models import presets

    if options.preset is None:
        for name, known in presets.presets().items():
            total = sum(presets.count_parameters(known.config).values())
            print(f"{name:<14}{total:>19,}")
        return 0
    parts = presets.count_parameters(presets.preset(options.preset))
    for part, count in {**parts, "total": sum(parts.values())}.items():
        print(f"{part:<14}{count:>19,}")
    return 0


def _claims(options: argparse.Namespace) -> int:
    from icl_lib.claims import ledger

    chapter = options.chapter or ""
    chosen = [claim for claim in ledger().values() if claim.chapter.startswith(chapter)]
    if not chosen:
        known = ", ".join(sorted({claim.chapter for claim in ledger().values()})) or "none yet"
        raise ValueError(f"no chapter with claims begins with {chapter!r}; there are {known}")
    for claim in chosen:
        print(f"{claim.chapter}  {claim.id}: {claim.target()}")
        print(f"    {claim.statement}\n    {claim.source}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
