"""The whole protocol in one call: zero-shot, in-context and finetuned, measured and controlled."""

from collections.abc import Callable, Sequence

from icl_lib.meta import controls as control_room
from icl_lib.meta.finetuning import Finetuning
from icl_lib.meta.observe import POSITIONS
from icl_lib.meta.prepared import Prepared, Setting
from icl_lib.meta.result import Result
from icl_lib.meta.walk import check_model
from icl_lib.models.checkpoint import weights_hash
from icl_lib.models.gpt import GPT
from icl_lib.tasks.classification import ClassificationTask


def compare(
    model: GPT,
    task: ClassificationTask,
    *,
    demonstrations: int = 32,
    seeds: Sequence[int] = (0,),
    queries: int | None = 256,
    finetuning: Finetuning | None = None,
    controls: Sequence[str] = control_room.DEFAULT,
    wrong_task: ClassificationTask | None = None,
    position: str = "prediction",
    balanced: bool = False,
    heads: bool = False,
    spectra: int = 16,
    tokens_at_once: int = 2048,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Result:
    """Compare in-context learning with finetuning on the same demonstrations.

    Parameters
    ----------
    model
        Any GPT of :mod:`icl_lib.models`, however loaded.
    task
        Of the lab language, or a data set with a template and a tokenizer.
    demonstrations
        Their number. If they do not fit the context this is an error; none is ever left out.
    seeds
        Of which demonstrations are chosen and in which order, and of noise and partners.
    queries
        Number of validation examples; all, if ``None``. The same for all seeds.
    finetuning
        How the finetuned condition is made; the paper's way with a step size of 0.01, if not
        given. Choose the step size on other tasks.
    controls
        Names out of :data:`icl_lib.meta.controls.CONTROLS`.
    wrong_task
        For the control of that name; its demonstrations must be made of the same vocabulary.
    position
        ``prediction`` or ``published``: where inside is measured.
    balanced
        Take demonstrations from all classes in turn.
    heads
        Give a row for each head, too, where a metric tells them apart.
    spectra
        For how many queries the updates are decomposed into singular vectors.
    tokens_at_once
        Most tokens read at a time: memory, nothing else.
    name
        Of the model in the table; the beginning of its weights' checksum if not given.
    progress
        Called with a line of text before each part of the work.

    Returns
    -------
    Result
        With a row for each seed, layer, metric and control.

    Raises
    ------
    TooLong
        If a prompt exceeds the context; the message says by how much.
    ValueError
        For unknown names, too few examples, labels without tokens, or another attention.
    ArithmeticError
        If finetuning diverges.

    Source: Dai et al. (2023), section 4; Deutch et al. (2024); the controls are this book's.

    Explained in: 16_paper_experiment
    """
    prepared = prepare(
        model, task, demonstrations=demonstrations, seeds=seeds, queries=queries,
        controls=controls, wrong_task=wrong_task, position=position, balanced=balanced,
        heads=heads, spectra=spectra, tokens_at_once=tokens_at_once, name=name,
        progress=progress, remember=False,
    )  # fmt: skip
    return prepared(Finetuning() if finetuning is None else finetuning)


def prepare(
    model: GPT,
    task: ClassificationTask,
    *,
    demonstrations: int = 32,
    seeds: Sequence[int] = (0,),
    queries: int | None = 256,
    controls: Sequence[str] = control_room.DEFAULT,
    wrong_task: ClassificationTask | None = None,
    position: str = "prediction",
    balanced: bool = False,
    heads: bool = False,
    spectra: int = 16,
    tokens_at_once: int = 2048,
    name: str | None = None,
    progress: Callable[[str], None] | None = None,
    remember: bool = True,
) -> Prepared:
    """Return a comparison that only waits to be told how to finetune; see :func:`compare`.

    Call it with a :class:`icl_lib.meta.Finetuning`, as often as there are step sizes: zero-shot
    and in-context learning do not depend on it and are read once. The results are the same as
    those of separate calls of :func:`compare`.

    Parameters
    ----------
    model, task, demonstrations, seeds, queries, controls, wrong_task, position, balanced, heads
        See :func:`compare`.
    spectra, tokens_at_once, name, progress
        See :func:`compare`.
    remember
        Keep what was read, for the next call; about one number for each query, layer, token of the
        query and dimension of the model.

    Raises
    ------
    TooLong, ValueError
        As :func:`compare`.

    Explained in: 19_real_models
    """
    if position not in POSITIONS:
        raise ValueError(f"position must be {' or '.join(POSITIONS)}, got {position!r}")
    if not seeds:
        raise ValueError("there must be a seed, got none")
    if wrong_task is not None and wrong_task.name == task.name:
        raise ValueError(f"the wrong task must be another one than {task.name}")
    check_model(model)
    names = control_room.check_controls(controls, wrong_task=wrong_task is not None)
    setting = Setting(
        demonstrations, tuple(seeds), queries, names, wrong_task, position, balanced, heads,
        spectra, tokens_at_once,
    )  # fmt: skip
    name = weights_hash(model)[:12] if name is None else name
    return Prepared(model, task, setting, name, remember=remember, progress=progress)
