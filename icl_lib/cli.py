"""The book's protocols from a terminal: ``icl-lib train``, ``params`` and ``claims``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


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
    except (KeyError, ValueError, OSError, RuntimeError) as problem:
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

    params = commands.add_parser("params", help="count the parameters of a model")
    params.add_argument("preset", nargs="?", help="which one; all when left out")
    params.set_defaults(command=_params)

    claims = commands.add_parser("claims", help="list what the book claims and where it was read")
    claims.add_argument("chapter", nargs="?", help="file stem of a chapter, or its beginning")
    claims.set_defaults(command=_claims)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive whole number, got {text}")
    return number


def _train(options: argparse.Namespace) -> int:
    from icl_lib import optim
    from icl_lib.recipes import cards, registry

    recipe = registry.find(options.name)
    if options.steps is not None:
        run = recipe.train(
            recipe.untrained().to(options.device),
            steps=options.steps,
            callbacks=[optim.Progress(recipe.name)],
        )
        print(f"loss of the last step: {run.loss:.6g}")
        return 0
    out = options.out or Path(f"{recipe.name}.safetensors")
    progress = out.with_name(f"{out.name}.run")
    if options.fresh:
        progress.unlink(missing_ok=True)
    run, card = cards.train_and_save(
        recipe,
        out,
        callbacks=[optim.Progress(recipe.name), optim.Checkpoint(progress, every=100)],
        device=options.device,
    )
    if run.interrupted:
        return 1
    progress.unlink(missing_ok=True)
    print(f"{out}: {out.stat().st_size:,} bytes")
    for name, value in card["metrics"].items():
        print(f"  {name}: {value:.4g}")
    return 0


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
