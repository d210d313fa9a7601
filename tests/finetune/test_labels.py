"""Scores and losses of labels: padding changes nothing, the parts add up, bad input is named."""

import itertools

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.finetune import LabelTask, accuracy, label_loss, label_scores, majority_accuracy
from icl_lib.finetune import predict as predicted
from icl_lib.finetune.labels import example_losses, target_log_probs
from icl_lib.models.gpt import GPT, GPTConfig

V, CONTEXT = 11, 16


def model(seed: int = 0, **options) -> GPT:
    shape = {"vocab_size": V, "context": CONTEXT, "layers": 2, "heads": 2, "width": 8}
    return GPT(GPTConfig(**{**shape, "init": "fan_in", **options}), seed=seed, dtype=torch.float64)


def tokens(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.long)


def draw(count: int, longest: int, seed: int) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, longest + 1, (count,), generator=g).tolist()
    return [torch.randint(0, V, (n,), generator=g) for n in sizes]


@torch.no_grad()
def by_loop(gpt: GPT, prompt: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """log p(label | prompt), token by token, each with its own pass."""
    row, total = prompt, 0.0
    for token in label:
        total = total + gpt(row[None])[0, -1].log_softmax(-1)[token]
        row = torch.cat([row, token[None]])
    return total


LABELS = [tokens(3), tokens(4, 5, 6), tokens(4, 7)]


@given(seed=st.integers(0, 1000), count=st.integers(1, 6), scale=st.sampled_from([1.0, 2.5]))
def test_scores_equal_a_loop_over_single_tokens(seed, count, scale):
    gpt, prompts = model(embed_scale=scale), draw(count, 9, seed)
    task = LabelTask.of(prompts, LABELS, [0] * count, context=CONTEXT)
    expected = torch.tensor([[by_loop(gpt, p, l) for l in LABELS] for p in prompts])
    assert torch.allclose(label_scores(gpt, task), expected.double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tied", [True, False])
def test_labels_of_one_token_and_chunks_of_prompts_give_the_same_scores(tied):
    gpt, prompts = model(tied=tied), draw(7, 10, 0)
    one = LabelTask.of(prompts, [tokens(1), tokens(2), tokens(9)], [0] * 7, context=CONTEXT)
    expected = torch.tensor([[by_loop(gpt, p, tokens(l)) for l in (1, 2, 9)] for p in prompts])
    expected = expected.double()
    assert torch.allclose(label_scores(gpt, one), expected, rtol=0, atol=1e-12)
    chunked = label_scores(gpt, one, chunk=2)
    assert torch.allclose(chunked, expected, rtol=0, atol=1e-12)


def test_scores_of_all_texts_of_a_length_are_the_logarithms_of_probabilities_that_sum_to_one():
    every = [tokens(a, b) for a, b in itertools.product(range(V), repeat=2)]
    task = LabelTask.of([tokens(1, 2, 3)], every, [0], context=CONTEXT)
    assert label_scores(model(), task).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("on", ["label", "all"])
def test_loss_of_a_batch_is_the_mean_of_its_examples_whatever_the_padding(on):
    gpt, prompts, gold = model(), draw(6, 12, 1), [0, 1, 2, 1, 0, 2]
    task = LabelTask.of(prompts, LABELS, gold, context=CONTEXT)
    alone = [
        LabelTask.of([p], LABELS, [y], context=CONTEXT) for p, y in zip(prompts, gold, strict=True)
    ]
    single = torch.stack([label_loss(gpt, t, on=on) for t in alone])
    assert torch.allclose(example_losses(gpt, task, on=on), single, rtol=0, atol=1e-12)
    assert label_loss(gpt, task, on=on).item() == pytest.approx(single.mean().item(), abs=1e-12)


def test_label_loss_is_minus_the_score_per_token_and_all_counts_the_prompt_too():
    gpt, prompt = model(), tokens(5, 1, 2)
    task = LabelTask.of([prompt], LABELS, [1], context=CONTEXT)
    score = label_scores(gpt, task)[0, 1]
    assert label_loss(gpt, task).item() == pytest.approx(-score.item() / 3, abs=1e-12)
    row = torch.cat([prompt, LABELS[1]])
    log_p = gpt(row[None, :-1])[0].log_softmax(-1).gather(1, row[1:, None])
    assert label_loss(gpt, task, on="all").item() == pytest.approx(-log_p.mean().item(), abs=1e-12)


def test_gradient_of_padded_batch_is_the_mean_of_single_gradients():
    prompts, gold = draw(4, 8, 2), [0, 1, 2, 0]
    whole, parts = model(), []
    label_loss(whole, LabelTask.of(prompts, LABELS, gold, context=CONTEXT), on="all").backward()
    for p, y in zip(prompts, gold, strict=True):
        one = model()
        label_loss(one, LabelTask.of([p], LABELS, [y], context=CONTEXT), on="all").backward()
        parts.append(one.blocks[0].attention.k_proj.weight.grad)
    mean = torch.stack(parts).mean(0)
    found = whole.blocks[0].attention.k_proj.weight.grad
    assert torch.allclose(found, mean, rtol=0, atol=1e-12)


def test_counted_places_are_row_after_row():
    gpt, rows = model(), torch.randint(0, V, (3, 6), generator=torch.Generator().manual_seed(0))
    counted = torch.rand(3, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    full = gpt(rows[:, :-1]).log_softmax(-1).gather(2, rows[:, 1:, None])[..., 0]
    assert torch.allclose(target_log_probs(gpt, rows, counted), full[counted], atol=1e-12)


def test_prediction_takes_the_likeliest_label_and_per_token_helps_long_ones():
    task = LabelTask.of([tokens(1)], [tokens(2), tokens(3, 3, 3)], [1], context=CONTEXT)
    gpt = model()
    with torch.no_grad():  # every token as likely as every other: log p = −n log V
        for p in gpt.parameters():
            p.zero_()
    assert predicted(gpt, task).tolist() == [0]
    scores = label_scores(gpt, task, per_token=True)
    assert scores[0, 0].item() == pytest.approx(scores[0, 1].item(), abs=1e-12)
    assert accuracy(gpt, task) == 0.0


def test_majority_is_taken_from_training_and_judged_on_test():
    def task(gold):
        return LabelTask.of([tokens(1)] * len(gold), LABELS, gold, context=CONTEXT)

    assert majority_accuracy(task([2, 2, 0]), task([2, 0, 0, 0])) == 0.25


@given(seed=st.integers(0, 100))
def test_shuffled_answers_are_the_same_answers_and_parts_keep_their_rows(seed):
    prompts, gold = draw(8, 9, seed), [0, 1, 2, 0, 1, 2, 0, 0]
    task = LabelTask.of(prompts, LABELS, gold, context=CONTEXT)
    null = task.shuffled(seed)
    assert sorted(null.gold.tolist()) == sorted(gold)
    assert torch.equal(null.prompts, task.prompts)
    part = task[torch.tensor([5, 1])]
    whole = label_scores(model(), task)[[5, 1]]
    assert torch.allclose(label_scores(model(), part), whole, rtol=0, atol=1e-12)
    assert part.gold.tolist() == [2, 1]


def test_shuffling_depends_on_the_seed_and_changes_the_pairs():
    task = LabelTask.of([tokens(1)] * 40, LABELS, [0, 1] * 20, context=CONTEXT)
    assert not torch.equal(task.shuffled(0).gold, task.gold)
    assert not torch.equal(task.shuffled(0).gold, task.shuffled(1).gold)
    assert torch.equal(task.shuffled(0).gold, task.shuffled(0).gold)


@pytest.mark.parametrize(
    ("prompts", "labels", "gold", "message"),
    [
        ([tokens(1)], [], [0], "set of labels is empty"),
        ([], [tokens(1)], [], "there are no prompts"),
        ([tokens()], [tokens(1)], [0], "prompt 0 must be one row of tokens, at least one"),
        ([tokens(1)], [tokens(1), tokens()], [0], "label 1 must be one row"),
        ([tokens(1)], [tokens(2), tokens(2)], [0], "two labels have the same tokens"),
        ([tokens(1)], [tokens(2)], [0, 0], "got 1 prompts and 2 answers"),
        ([tokens(1)], [tokens(2)], [1], "answer 1 names no label; there are 1"),
        ([tokens(1)], [tokens(2)], [-1], "answer -1 names no label"),
        ([tokens(1)], [torch.ones(17).long()], [0], "together 2 too many for a context of 16"),
        ([tokens(1), torch.ones(15).long()], [tokens(1, 2)], [0, 0], "prompt 1 has 15 tokens"),
    ],
)
def test_bad_input_is_refused_with_what_was_expected(prompts, labels, gold, message):
    with pytest.raises(ValueError, match=message):
        LabelTask.of(prompts, labels, gold, context=CONTEXT)


@pytest.mark.parametrize(
    ("prompt", "label", "gold", "message"),
    [
        (tokens(1), tokens(2), [0.6], "list of answers must hold whole numbers, got torch.float32"),
        (torch.tensor([1.5]), tokens(2), [0], "prompt 0 must hold whole numbers"),
        (tokens(1), torch.tensor([2.0]), [0], "label 0 must hold whole numbers"),
    ],
)
def test_fractions_are_not_cut_to_whole_numbers(prompt, label, gold, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    with pytest.raises(TypeError, match=message):
        LabelTask.of([prompt], [label], gold, context=CONTEXT)


@pytest.mark.parametrize("index", [0, torch.tensor(1)])
def test_one_number_is_no_choice_of_examples(index, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as for a reader
    task = LabelTask.of([tokens(1)] * 3, LABELS, [0, 1, 2], context=CONTEXT)
    with pytest.raises(TypeError, match=r"task\[i : i \+ 1\], got the number"):
        task[index]


def test_a_task_without_examples_has_no_scores_no_loss_and_no_accuracy():
    task = LabelTask.of([tokens(1)] * 2, LABELS, [0, 1], context=CONTEXT)
    none = task[task.gold == 2]
    for measure in (accuracy, label_loss, label_scores):
        with pytest.raises(ValueError, match="the task has no examples"):
            measure(model(), none)
    with pytest.raises(ValueError, match="expected examples in both, got 2 and 0"):
        majority_accuracy(task, none)


def test_majority_of_tasks_with_other_labels_is_refused():
    first = LabelTask.of([tokens(1)], LABELS, [0], context=CONTEXT)
    other = LabelTask.of([tokens(1)], LABELS[::-1], [0], context=CONTEXT)
    with pytest.raises(ValueError, match="the same labels in the same order"):
        majority_accuracy(first, other)


def test_unknown_counting_and_chunk_are_refused():
    task = LabelTask.of([tokens(1)], LABELS, [0], context=CONTEXT)
    with pytest.raises(ValueError, match="counts label or all tokens, got 'prompt'"):
        task.rows(task.gold, "prompt")
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        label_scores(model(), task, chunk=0)
