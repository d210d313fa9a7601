"""The reward model: where it reads, what it learns, and its loss against trl's."""

import copy

import pytest
import torch

from icl_lib import optim
from icl_lib.finetune.chat import collate
from icl_lib.finetune.preferences import agreement, bradley_terry_loss
from icl_lib.finetune.reward import RewardModel, pairwise_loss, rewards
from icl_lib.models.gpt import GPT, GPTConfig

CONFIG = GPTConfig(vocab_size=11, context=16, layers=2, heads=2, width=16, init="fan_in")


def network(seed: int = 0) -> RewardModel:
    model = RewardModel(GPT(CONFIG, seed=seed, dtype=torch.float64))
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.head.weight.copy_(torch.randn(1, 16, generator=g, dtype=torch.float64))
    return model


def rows(count: int, generator: torch.Generator, width: int = 9):
    made = []
    for _ in range(count):
        length = int(torch.randint(4, width, (1,), generator=generator))
        tokens = torch.randint(1, 11, (length,), generator=generator)
        made.append((tokens, torch.arange(length) >= 2))
    return collate(made, 0, width=width)


def test_before_training_every_text_is_worth_nothing(generator):
    model = RewardModel(GPT(CONFIG, seed=0))
    assert model(*rows(5, generator)).abs().max().item() == 0.0


def test_reward_is_the_head_at_the_last_token_of_the_answer(generator):
    model = network()
    tokens, answer = rows(6, generator)
    found = model(tokens, answer)
    for i in range(6):
        length = int(answer[i].nonzero()[-1]) + 1
        hidden = model.trunk.run(model.trunk.tokens(tokens[i : i + 1, :length]))
        wanted = model.head(hidden[0, -1]).item()
        assert found[i].item() == pytest.approx(wanted, abs=1e-12)


def test_reward_can_be_read_from_the_mean_of_the_answer(generator):
    base = GPT(CONFIG, seed=0, dtype=torch.float64)
    model = RewardModel(base, read="mean")
    with torch.no_grad():
        model.head.weight.copy_(network().head.weight)
    tokens, answer = rows(6, generator)
    found = model(tokens, answer)
    for i in range(6):
        row = tokens[i][: int(answer[i].nonzero()[-1]) + 1]
        hidden = base.run(base.tokens(row[None]))[0, 2:].mean(0)
        assert found[i].item() == pytest.approx(model.head(hidden).item(), abs=1e-12)


@pytest.mark.parametrize("read", ["last", "mean"])
def test_what_follows_the_answer_does_not_count(generator, read):
    model = network()
    model.read = read
    tokens, answer = rows(6, generator)
    others = torch.where(answer.flip(1).cumsum(1).flip(1) > 0, tokens, 7)
    others[:, :2] = tokens[:, :2]
    assert (model(tokens, answer) - model(others, answer)).abs().max().item() < 1e-12


def test_the_copied_model_is_left_alone(generator):
    base = GPT(CONFIG, seed=0, dtype=torch.float64)
    before = copy.deepcopy(base.state_dict())
    model = RewardModel(base)
    batch = (*rows(4, generator), *rows(4, generator))
    optim.train(
        model, pairwise_loss, lambda step: batch, optim.SGD(model.parameters(), 1.0), steps=2
    )
    assert all(torch.equal(before[name], weight) for name, weight in base.state_dict().items())


def test_pairwise_loss_is_bradley_terry_on_the_rewards(generator):
    model, a, b = network(), rows(5, generator), rows(5, generator)
    wanted = bradley_terry_loss(model(*a), model(*b))
    assert abs(pairwise_loss(model, (*a, *b)) - wanted).item() < 1e-12


def test_rewards_in_pieces_equal_rewards_at_once(generator):
    model = network()
    tokens, answer = rows(10, generator)
    assert (rewards(model, tokens, answer, batch=3) - model(tokens, answer)).abs().max() < 1e-12


def test_it_learns_to_count_a_token_from_noiseless_pairs(generator):
    def worth(tokens, answer):
        return ((tokens == 3) & answer).sum(1).double()

    tokens, answer = rows(1200, generator)
    first, second = torch.arange(0, 1200, 2), torch.arange(1, 1200, 2)
    value = worth(tokens, answer)
    keep = value[first] != value[second]
    first, second = first[keep], second[keep]
    better = value[first] > value[second]
    win, lose = torch.where(better, first, second), torch.where(better, second, first)
    held, win_train, lose_train = slice(0, 60), win[60:], lose[60:]
    data = (tokens[win_train], answer[win_train], tokens[lose_train], answer[lose_train])
    model = RewardModel(GPT(CONFIG, seed=0))
    batches = optim.Shuffled(data, 32, seed=0)
    optim.train(model, pairwise_loss, batches, optim.AdamW(model.parameters(), 3e-3), steps=60)
    r = rewards(model, tokens, answer)
    found = agreement(r[win[held]], r[lose[held]], torch.ones(60, dtype=torch.bool))
    assert found > 0.9


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="no token table"):
        RewardModel(GPT(GPTConfig(vocab_size=None, context=4, layers=1, heads=1, width=4)))
    with pytest.raises(ValueError, match="read must be 'last' or 'mean', got 'first'"):
        RewardModel(GPT(CONFIG), read="first")
    tokens = torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="needs an answer"):
        network()(tokens, torch.zeros(2, 4, dtype=torch.bool))
