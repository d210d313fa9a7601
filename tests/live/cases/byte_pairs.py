"""BytePairs against the tokenizers library, cut to as many merges as the page uses."""

from functools import cache

from live.harness import Case, Move

from icl_lib.live import BytePairs
from icl_lib.tasks.tokenizers import BytePairTokenizer

TEXT = " ".join(
    [
        "The weather is nice today. The sea is calm, and it's warm in the garden.",
        "We don't know whether they'll walk to the sea in 2024 or in 2025.",
        "今日はいい天気ですね。海はしずかで、庭はあたたかいです。",
        "今日は雨が降っています。猫は庭にいます。",
    ]
)
EXAMPLES = {
    "English": "The weather is nice today, and the sea is calm.",
    "日本語": "今日はいい天気で、海はしずかです。",
    "Unseen": "Photosynthesis 光合成 👩🏽‍🌾",
}


@cache
def tokenizer() -> BytePairTokenizer:
    return BytePairTokenizer.train(TEXT * 3, 380)


def reference(state: dict) -> dict:
    text, merges = state["text"], tokenizer().merges[: state["used"]]
    few = BytePairTokenizer(merges)
    tokens = few.encode(text)
    count, size = tokens.numel(), len(text.encode())
    return {
        "ids": tokens,
        "characters": len(text),
        "bytes": size,
        "tokens": count,
        "vocabulary": len(few),
        "bytes_per_token": size / count,
        "fits": state["context"] * len(text) / count,
        **{f"example_{i}": len(few.encode(one)) for i, (_, one) in enumerate(state["examples"])},
    }


CASE = Case(
    make=lambda: BytePairs(tokenizer(), examples=EXAMPLES, context=64),
    moves=(
        Move("button", "Previous", "Enter", 3),
        Move("textbox", "Your sentence", "a", 2),
        Move("textbox", "Your sentence", "Backspace"),
        Move("button", "Bytes only", "Space"),
        Move("button", "Next", "Enter", 4),
        Move("slider", "Merge rules in use", "ArrowRight", 17),
        Move("combobox", "Example", "ArrowDown", 1),
    ),
    reference=reference,
)
