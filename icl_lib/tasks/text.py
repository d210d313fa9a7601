"""Text for a small language model: a tiny seeded corpus, a character tokenizer, batches.

The corpus is made by two phrase grammars of our own, one English, one Japanese, so that nothing has
to be downloaded and every run sees the same text. Any text file takes its place: :func:`read_text`.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

ENGLISH_SKY: Mapping[str, Sequence[str]] = {
    "when": ("today", "tonight", "every morning", "in may", "by the sea"),
    "sky": ("the weather is fine", "the rain is warm", "the wind is cold", "the snow is deep"),
    "end": ("", ", is it not", ", they say"),
}
ENGLISH_LIFE: Mapping[str, Sequence[str]] = {
    "when": ("today", "tonight", "every morning", "in may", "by the sea"),
    "who": ("my mother", "the teacher", "an old friend", "the little boy", "my sister"),
    "does": ("reads a book", "sings a song", "drinks green tea", "draws a flower", "eats fish"),
    "where": (" at home", " in the garden", " near the school", " with a smile", ""),
}
JAPANESE_SKY: Mapping[str, Sequence[str]] = {
    "when": ("今日は", "明日は", "今夜は", "毎朝", "週末は"),
    "sky": ("いい天気", "雨", "雪", "静か", "寒い", "暖かい"),
    "end": ("です", "ですね", "ですよ"),
}
JAPANESE_LIFE: Mapping[str, Sequence[str]] = {
    "when": ("今日は", "明日は", "今夜は", "毎朝", "週末は"),
    "who": ("母が", "先生が", "友だちが", "弟が", "姉が"),
    "where": ("家で", "庭で", "学校で", "海で"),
    "does": ("本を読みます", "歌を歌います", "お茶を飲みます", "花を描きます", "魚を食べます"),
}
# form of a sentence, its phrases, and how often it is chosen
GRAMMAR = (
    ("{when} {sky}{end}.", ENGLISH_SKY, 0.2),
    ("{when} {who} {does}{where}.", ENGLISH_LIFE, 0.3),
    ("{when}{sky}{end}。", JAPANESE_SKY, 0.2),
    ("{when}{who}{where}{does}。", JAPANESE_LIFE, 0.3),
)


def tiny_corpus(sentences: int = 3000, *, seed: int = 0) -> str:
    """Write a small bilingual text, one sentence a line.

    Parameters
    ----------
    sentences
        Number of lines; a sentence may come more than once, as in any text.
    seed
        The same seed writes the same text.

    Returns
    -------
    str
        Among its sentences is 「今日はいい天気ですね。」.

    Raises
    ------
    ValueError
        If ``sentences`` is not positive.

    Explained in: ``03_gpt``.
    """
    if sentences < 1:
        raise ValueError(f"a corpus needs at least one sentence, got {sentences}")
    generator = torch.Generator().manual_seed(seed)
    shares = torch.tensor([share for *_, share in GRAMMAR])
    kinds = torch.multinomial(shares, sentences, replacement=True, generator=generator).tolist()
    return "\n".join(_sentence(kind, generator) for kind in kinds)


def _sentence(kind: int, generator: torch.Generator) -> str:
    form, phrases, _ = GRAMMAR[kind]
    chosen = {}
    for part, options in phrases.items():
        index = torch.randint(len(options), (), generator=generator).item()
        chosen[part] = options[index]
    return form.format(**chosen)


def tiny_grammar() -> dict[str, float]:
    r"""Return every sentence that :func:`tiny_corpus` can write, with its probability.

    With it the text has a floor: no model can predict the corpus better, on average, than the one
    that gives each sentence its true probability.

    .. math:: -\log p(\text{sentence}) / (\text{characters} + 1)

    is that floor in nats per character, the line break counted.

    Explained in: ``03_gpt``.
    """
    found: dict[str, float] = {}
    for form, phrases, share in GRAMMAR:
        choices = list(itertools.product(*phrases.values()))
        for choice in choices:
            sentence = form.format(**dict(zip(phrases, choice, strict=True)))
            found[sentence] = found.get(sentence, 0.0) + share / len(choices)
    return found


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file to be used in place of :func:`tiny_corpus`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, holds only white space, or is not UTF-8; then the message names the
        first byte that does not fit. A byte-order mark at the beginning is no text and left out.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no text file at {path}")
    try:
        text = path.read_text("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as problem:
        raise ValueError(
            f"{path.name} is not UTF-8 text: {problem.reason} at byte {problem.start}"
        ) from None
    if not text.strip():
        raise ValueError(f"{path.name} holds no text")
    return text


def split_lines(text: str, *, held_out: float = 0.1, seed: int = 0) -> tuple[str, str]:
    """Cut a text into training and validation lines that share no line.

    A line that occurs several times goes to one side with all its copies, so the validation text
    holds only sentences that training never showed.

    Parameters
    ----------
    text
        Lines of text; empty lines are dropped.
    held_out
        Share of the *distinct* lines that go to validation, between 0 and 1.
    seed
        Decides which.

    Returns
    -------
    tuple of str
        Training text and validation text, lines in their original order.

    Raises
    ------
    ValueError
        If the text has fewer than two distinct lines, or ``held_out`` is not inside (0, 1).

    Explained in: ``03_gpt``.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must lie between 0 and 1, got {held_out}")
    lines = [line for line in text.splitlines() if line.strip()]
    distinct = sorted(set(lines))
    if len(distinct) < 2:
        raise ValueError(f"a split needs at least two distinct lines, the text has {len(distinct)}")
    order = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(seed)).tolist()
    count = min(len(distinct) - 1, max(1, round(held_out * len(distinct))))
    away = {distinct[i] for i in order[:count]}
    kept = "\n".join(line for line in lines if line not in away)
    return kept, "\n".join(line for line in lines if line in away)


@dataclass(frozen=True)
class CharTokenizer:
    """One token per character.

    Attributes
    ----------
    characters
        The alphabet; the position of a character is its token.
    """

    characters: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "CharTokenizer":
        """Return the tokenizer whose alphabet is the characters of ``text``, sorted.

        Raises
        ------
        ValueError
            If the text is empty.
        """
        if not text:
            raise ValueError("the corpus is empty: a tokenizer needs at least one character")
        return cls(tuple(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.characters)

    @property
    def end(self) -> None:
        """No token ends a text: a character tokenizer has no special tokens."""
        return None

    def encode(self, text: str, *, specials: bool = False) -> Int[Tensor, "T"]:
        """Return the tokens of ``text``.

        Raises
        ------
        ValueError
            If a character is not in the alphabet; the message names it and its place. Or if
            special tokens are asked for, since it has none.
        """
        if specials:
            raise ValueError("a character tokenizer has no special tokens, got specials=True")
        places = {character: token for token, character in enumerate(self.characters)}
        for at, character in enumerate(text):
            if character not in places:
                raise ValueError(
                    f"character {character!r} at position {at} is not among the "
                    f"{len(self)} characters of the corpus"
                )
        return torch.tensor([places[character] for character in text], dtype=torch.long)

    def decode(self, tokens: Int[Tensor, "T"], *, errors: str = "strict") -> str:
        """Return the text of ``tokens``; characters are never broken, so ``errors`` has no effect.

        Raises
        ------
        ValueError
            If a token lies outside the alphabet.
        """
        check_errors(errors)
        for token in tokens.tolist():
            if not 0 <= token < len(self):
                raise ValueError(f"token {token} is outside the alphabet of {len(self)} characters")
        return "".join(self.characters[token] for token in tokens.tolist())

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that no other tokenizer has."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the whole tokenizer as JSON."""
        return json.dumps({"kind": "characters", "characters": "".join(self.characters)})

    @classmethod
    def from_json(cls, text: str) -> "CharTokenizer":
        """Return the tokenizer that :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not what it should be.
        """
        try:
            content = json.loads(text)
            characters = content["characters"] if content["kind"] == "characters" else ""
        except (ValueError, KeyError, TypeError):
            characters = ""
        if not isinstance(characters, str) or not characters:
            raise ValueError("no character tokenizer: expected JSON with its alphabet")
        return cls(tuple(characters))


def check_errors(errors: str) -> None:
    """Raise ``ValueError`` unless ``errors`` is ``"strict"`` or ``"replace"``."""
    if errors not in ("strict", "replace"):
        raise ValueError(f"errors must be 'strict' or 'replace', got {errors!r}")


def _windows(tokens: Tensor, starts: Tensor, context: int) -> tuple[Tensor, Tensor]:
    places = starts.to(tokens.device)[:, None] + torch.arange(context + 1, device=tokens.device)
    window = tokens[places]
    return window[:, :-1], window[:, 1:]


def _check_length(tokens: Tensor, context: int) -> None:
    if context < 1:
        raise ValueError(f"a context needs at least one token, got {context}")
    if len(tokens) < context + 1:
        raise ValueError(
            f"the text has {len(tokens)} tokens; a context of {context} needs at least "
            f"{context + 1}, one more for the last target"
        )


def random_windows(
    tokens: Int[Tensor, "n"], batch: int, context: int, *, generator: torch.Generator
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Draw windows of text and, for each place, the token that comes next.

    Parameters
    ----------
    tokens
        A whole text.
    batch, context
        Number of windows B and their length T.
    generator
        Source of the starting points.

    Returns
    -------
    tuple of Tensor
        Inputs and targets; ``targets[b, t]`` follows ``inputs[b, t]``.

    Raises
    ------
    ValueError
        If the text is shorter than ``context + 1`` tokens or ``batch`` is not positive.

    Explained in: ``03_gpt``.
    """
    _check_length(tokens, context)
    if batch < 1:
        raise ValueError(f"a batch needs at least one window, got {batch}")
    starts = torch.randint(
        len(tokens) - context, (batch,), generator=generator, device=generator.device
    )
    return _windows(tokens, starts, context)


def all_windows(
    tokens: Int[Tensor, "n"], context: int
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Cut a text into neighbouring windows; a rest shorter than a window is left out.

    Raises
    ------
    ValueError
        If the text is shorter than ``context + 1`` tokens.

    Explained in: ``03_gpt``.
    """
    _check_length(tokens, context)
    starts = torch.arange(0, len(tokens) - context, context)
    return _windows(tokens, starts, context)


def ngram_loss(
    train: Int[Tensor, "n"],
    inputs: Int[Tensor, "B T"],
    targets: Int[Tensor, "B T"],
    vocab_size: int,
    *,
    order: int,
) -> float:
    r"""Mean surprise of a counting model, in nats per token: the reference for a trained one.

    .. math:: -\tfrac1{BT}\sum_{b,t} \log\frac{c(x_{bt}, y_{bt}) + 1}{c(x_{bt}) + V}

    where `c` counts the training text. Order 1 ignores the input `x`, order 2 looks one token back,
    order 3 two tokens back. One is added to each count, so that nothing is impossible.

    Parameters
    ----------
    train
        Tokens whose n-grams are counted.
    inputs, targets
        Windows as :func:`all_windows` gives them. At the first places of a window, where fewer
        than ``order - 1`` tokens are known, the highest order that fits is used.
    vocab_size
        Number of different tokens V.
    order
        1, 2 or 3.

    Returns
    -------
    float
        Nats per token.

    Raises
    ------
    ValueError
        If ``order`` is not 1, 2 or 3, or the training text is empty.

    Explained in: ``03_gpt``.
    """
    if order not in (1, 2, 3):
        raise ValueError(f"order must be 1, 2 or 3, got {order}")
    if len(train) < order:
        raise ValueError(f"order {order} needs at least {order} training tokens, got {len(train)}")
    places = [(1, slice(0, 1)), (2, slice(1, None))] if order == 3 else [(order - 1, slice(None))]
    total = 0.0
    for back, span in places:
        seen, past = torch.zeros_like(targets), torch.zeros_like(train[back:])
        for step in range(back, 0, -1):
            seen = seen * vocab_size + inputs.roll(step - 1, dims=1)
            past = past * vocab_size + train[back - step : len(train) - step]
        counts = torch.zeros(vocab_size**back, vocab_size, dtype=torch.float64, device=train.device)
        one = counts.new_ones(())
        counts.index_put_((past, train[back:]), one, accumulate=True)
        log_p = ((counts + 1) / (counts.sum(1, keepdim=True) + vocab_size)).log()
        total -= log_p[seen[:, span], targets[:, span]].sum().item()
    return total / targets.numel()
