"""The chat template: round trip, marks that nobody can forge, loss on the assistant alone."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from icl_lib.finetune.chat import (
    ASSISTANT,
    END,
    USER,
    ChatTemplate,
    Turn,
    answer_log_probs,
    assistant_loss,
    collate,
)
from icl_lib.models.gpt import GPT, GPTConfig
from icl_lib.tasks.tokenizers import BytePairTokenizer

MARKS = (END, USER, ASSISTANT)
LETTERS = "abc déß海。\n<|>"


class Letters:
    """Characters as tokens, and the three marks as tokens of their own."""

    def __init__(self, marks=MARKS):
        self.pieces = [*marks, *LETTERS]

    def encode(self, text: str, *, specials: bool = False) -> torch.Tensor:
        found = []
        while text:
            piece = next(p for p in self.pieces if text.startswith(p))
            found.append(self.pieces.index(piece))
            text = text[len(piece) :]
        return torch.tensor(found, dtype=torch.long)

    def decode(self, tokens: torch.Tensor, *, errors: str = "strict") -> str:
        return "".join(self.pieces[i] for i in tokens.tolist())


TEMPLATE = ChatTemplate(Letters())
texts = st.text(alphabet=LETTERS, max_size=12).filter(lambda t: not any(m in t for m in MARKS))
turns = st.lists(st.builds(Turn, texts, texts), min_size=1, max_size=4)


@given(turns)
def test_conversation_and_parse_are_inverse(conversation):
    tokens, _ = TEMPLATE.conversation(conversation)
    assert TEMPLATE.parse(tokens) == conversation


@given(turns)
def test_answer_marks_the_assistants_words_and_the_closing_mark(conversation):
    tokens, answer = TEMPLATE.conversation(conversation)
    said = TEMPLATE.tokenizer.decode(tokens[answer])
    assert said == "".join(turn.assistant + END for turn in conversation)


@given(turns, texts)
def test_prompt_is_the_beginning_of_the_conversation(conversation, question):
    prompt = TEMPLATE.prompt(question, history=conversation)
    whole, answer = TEMPLATE.conversation([*conversation, Turn(question, "ab")])
    assert torch.equal(prompt, whole[: len(prompt)])
    assert answer[len(prompt)]
    assert not answer[len(prompt) - 1]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("field", ["user", "assistant"])
def test_text_that_contains_a_mark_is_refused(mark, field):
    turn = Turn(**{"user": "a", "assistant": "b", field: f"ab{mark}c"})
    with pytest.raises(ValueError, match="only the template may write"):
        TEMPLATE.conversation([turn])
    with pytest.raises(ValueError, match="only the template may write"):
        TEMPLATE.prompt(f"ab{mark}")


def test_tokenizer_without_the_marks_is_refused():
    class Plain(Letters):
        def encode(self, text, *, specials=False):
            return torch.tensor([ord(c) for c in text])

    with pytest.raises(ValueError, match="one token for each"):
        ChatTemplate(Plain())


def test_the_books_own_tokenizer_serves():
    tokenizer = BytePairTokenizer.train("今日は fine today" * 4, 270)
    template = ChatTemplate(tokenizer)
    said = [Turn("write 海", "今日は fine."), Turn("", "déjà")]
    tokens, answer = template.conversation(said)
    assert template.parse(tokens) == said
    assert answer.sum() < len(tokens)
    cut = tokens[None, :-2]  # in the middle of a letter, as a model may stop
    assert "�" in template.answers(cut, answer[None, :-2])[0]


def test_marks_in_the_wrong_order_are_refused():
    tokens, _ = TEMPLATE.conversation([Turn("a", "b")])
    for broken in (tokens[1:], tokens[:-1], tokens[:2], torch.cat([tokens, tokens[:1]])):
        with pytest.raises(ValueError, match="expected token"):
            TEMPLATE.parse(broken)


def test_empty_conversation_is_refused():
    with pytest.raises(ValueError, match="at least one turn"):
        TEMPLATE.conversation([])


def test_answers_come_back_without_the_closing_mark():
    rows = [TEMPLATE.conversation([Turn("a", "bc")]), TEMPLATE.conversation([Turn("abc", "")])]
    assert TEMPLATE.answers(*collate(rows, TEMPLATE.end)) == ["bc", ""]


def test_collate_fills_on_the_right_and_says_when_a_row_is_too_long():
    rows = [TEMPLATE.conversation([Turn("a", "b")]), TEMPLATE.conversation([Turn("abc", "ab")])]
    tokens, answer = collate(rows, TEMPLATE.end, width=12)
    assert tokens.shape == answer.shape == (2, 12)
    assert not answer[0, 5:].any()
    assert (tokens[0, 5:] == TEMPLATE.end).all()
    with pytest.raises(ValueError, match="8 tokens, more than the width of 6"):
        collate(rows, 0, width=6)
    with pytest.raises(ValueError, match="at least one row"):
        collate([], 0)


def model(vocab: int = 20) -> GPT:
    config = GPTConfig(vocab_size=vocab, context=32, layers=2, heads=2, width=8, init="fan_in")
    return GPT(config, seed=0, dtype=torch.float64)


def test_answer_log_probs_are_the_models_log_probabilities_of_the_answer(generator):
    tokens = torch.randint(0, 20, (3, 9), generator=generator)
    answer = torch.zeros(3, 9, dtype=torch.bool)
    answer[:, 4:7] = True
    logits = model()(tokens)
    found = answer_log_probs(logits, tokens, answer)
    for b in range(3):
        for t in range(8):
            wanted = logits[b, t].log_softmax(-1)[tokens[b, t + 1]] if 4 <= t + 1 < 7 else 0.0
            assert found[b, t].item() == pytest.approx(torch.as_tensor(wanted).item(), abs=1e-12)


def test_loss_is_the_mean_surprise_at_the_assistants_tokens_only():
    rows = [TEMPLATE.conversation([Turn("ab", "c")]), TEMPLATE.conversation([Turn("a", "bcab")])]
    tokens, answer = collate(rows, TEMPLATE.end)
    net = model(len(TEMPLATE.tokenizer.pieces))
    losses = [
        F.cross_entropy(net(row[None])[0, :-1][said[1:]], row[1:][said[1:]], reduction="sum")
        for row, said in rows
    ]
    wanted = sum(losses) / sum(said.sum() for _, said in rows)
    assert assistant_loss(net, (tokens, answer)).item() == pytest.approx(wanted.item(), abs=1e-12)


def test_filling_and_user_words_as_targets_do_not_change_the_loss():
    rows = [TEMPLATE.conversation([Turn("ab", "c")])]
    net = model(len(TEMPLATE.tokenizer.pieces))
    tight = assistant_loss(net, collate(rows, TEMPLATE.end))
    loose = assistant_loss(net, collate(rows, 5, width=20))
    assert abs(tight - loose).item() < 1e-12


def test_untrained_uniform_model_has_loss_log_vocabulary():
    net = model(len(TEMPLATE.tokenizer.pieces))
    with torch.no_grad():
        net.tokens.weight.zero_()
    batch = collate([TEMPLATE.conversation([Turn("ab", "c")])], TEMPLATE.end)
    wanted = math.log(len(TEMPLATE.tokenizer.pieces))
    assert assistant_loss(net, batch).item() == pytest.approx(wanted, abs=1e-12)


def test_rows_without_an_answer_and_shapes_that_differ_are_refused():
    logits, tokens = torch.zeros(2, 4, 7), torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="needs an answer"):
        answer_log_probs(logits, tokens, torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="needs an answer"):
        answer_log_probs(logits, tokens, torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises((ValueError, TypeError)):
        answer_log_probs(logits, tokens, torch.ones(2, 5, dtype=torch.bool))
