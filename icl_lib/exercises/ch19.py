"""Exercises of chapter 19: what fits, labels of several tokens, shared prompts, mixed encodings."""

import torch

from icl_lib.exercises.core import Exercise, Step, expect_close

# ---- how many demonstrations fit ----------------------------------------------------------------


def _fits(lengths, context, opening, separator, query, label):
    room, count = context - opening - query - label, 0
    for length in lengths:
        room -= length + separator
        if room < 0:
            break
        count += 1
    return count


def _fits_no_label(lengths, context, opening, separator, query, label):
    return _fits(lengths, context, opening, separator, query, 0)


def _fits_no_separator(lengths, context, opening, separator, query, label):
    return _fits(lengths, context, opening, 0, query, label)


def _fits_skips(lengths, context, opening, separator, query, label):
    room, count = context - opening - query - label, 0
    for length in lengths:
        if length + separator <= room:
            room, count = room - length - separator, count + 1
    return count


def _fits_strictly(lengths, context, opening, separator, query, label):
    return _fits(lengths, context - 1, opening, separator, query, label)


def _check_fits(cases: dict[str, tuple]):
    def test(f) -> None:
        for what, given in cases.items():
            found, wanted = f(*given), _fits(*given)
            if found != wanted:
                raise AssertionError(f"{what}: expected {wanted}, got {found!r}")

    return test


FITS = Exercise(
    "ch19-fits",
    "how many demonstrations of a list fit a context, in their order",
    (
        Step("demonstrations alone", _check_fits({"three of 10": ([10, 10, 10], 25, 0, 0, 0, 0)})),
        Step(
            "exactly full is not too full",
            _check_fits({"two of 10 in 20": ([10, 10], 20, 0, 0, 0, 0)}),
        ),
        Step(
            "with opening and query",
            _check_fits({"opening": ([9] * 4, 29, 3, 0, 0, 0), "query": ([9] * 4, 32, 0, 0, 6, 0)}),
        ),
        Step(
            "a separator behind each, and room for the label",
            _check_fits({"marks": ([9] * 4, 36, 0, 1, 0, 0), "label": ([9] * 4, 36, 0, 0, 0, 3)}),
        ),
        Step(
            "the first that does not fit ends the list",
            _check_fits({"a long one": ([5, 50, 5], 40, 1, 1, 8, 1), "no": ([50], 40, 1, 1, 8, 1)}),
        ),
    ),
    _fits,
    {
        "no room for the label": _fits_no_label,
        "separators cost nothing": _fits_no_separator,
        "leaves out the long one": _fits_skips,
        "one position is wasted": _fits_strictly,
    },
)  # fmt: skip


# ---- a label of several tokens ------------------------------------------------------------------


def _label(logits, label):
    log_p = logits.log_softmax(-1)[-len(label) :]
    return log_p.gather(1, label[:, None]).sum()


def _label_first(logits, label):
    return logits.log_softmax(-1)[-len(label), label[0]]


def _label_mean(logits, label):
    return _label(logits, label) / len(label)


def _label_logits(logits, label):
    return logits[-len(label) :].gather(1, label[:, None]).sum()


def _label_late(logits, label):
    log_p = logits.log_softmax(-1)
    return log_p[-1].gather(0, label).sum()


def _check_label(tokens: int, shift: float, what: str):
    def test(f) -> None:
        generator = torch.Generator().manual_seed(tokens)
        logits = torch.randn(5 + tokens, 7, generator=generator, dtype=torch.float64) + shift
        label = torch.randint(7, (tokens,), generator=generator)
        expect_close(f(logits, label), _label(logits, label), tolerance=1e-10, what=what)

    return test


LABEL = Exercise(
    "ch19-label",
    "the log-probability of a label word of several tokens",
    (
        Step("one token: the last row", _check_label(1, 0.0, "one token")),
        Step("logits are no log-probabilities", _check_label(1, 3.0, "logits moved by 3")),
        Step("two tokens, each from its own row", _check_label(2, 0.0, "two tokens")),
        Step("four tokens", _check_label(4, -2.0, "four tokens")),
    ),
    _label,
    {
        "the first token alone": _label_first,
        "the mean over tokens": _label_mean,
        "logits as they are": _label_logits,
        "all tokens from the last row": _label_late,
    },
)


# ---- what sharing saves -------------------------------------------------------------------------


def _saved(prompt, query, queries):
    return queries * (prompt + query) / (prompt + queries * query)


def _saved_limit(prompt, query, queries):
    return (prompt + query) / query


def _saved_no_queries(prompt, query, queries):
    return queries * prompt / (prompt + queries * query)


def _saved_upside_down(prompt, query, queries):
    return 1 / _saved(prompt, query, queries)


def _check_saved(cases: tuple, what: str):
    def test(f) -> None:
        for prompt, query, queries in cases:
            wanted = torch.tensor(_saved(prompt, query, queries), dtype=torch.float64)
            where = f"{what}: {prompt} tokens before {queries} queries of {query}"
            found = torch.as_tensor(f(prompt, query, queries), dtype=torch.float64)
            expect_close(found, wanted, what=where)

    return test


SAVED = Exercise(
    "ch19-saved",
    "how many times fewer tokens are read if the demonstrations are read once",
    (
        Step("one query: nothing is saved", _check_saved(((100, 10, 1),), "one query")),
        Step("two queries", _check_saved(((100, 10, 2), (64, 32, 2)), "two queries")),
        Step("hundreds", _check_saved(((900, 30, 256), (2000, 85, 56)), "many queries")),
        Step("nothing before the query", _check_saved(((0, 12, 40),), "no demonstrations")),
    ),
    _saved,
    {
        "as if queries were without end": _saved_limit,
        "queries are not read again": _saved_no_queries,
        "the wrong way round": _saved_upside_down,
    },
)


# ---- a file of two encodings --------------------------------------------------------------------


def _decode(rows):
    kinds = {}
    for number, row in enumerate(rows, 1):
        if row.isascii():
            continue
        try:
            row.decode("utf-8")
            kinds.setdefault("utf-8", number)
        except UnicodeDecodeError:
            kinds.setdefault("latin-1", number)
    if len(kinds) == 2:
        raise ValueError(f"line {kinds['utf-8']} is UTF-8, line {kinds['latin-1']} is not")
    encoding = next(iter(kinds), "utf-8")
    return [row.decode(encoding) for row in rows]


def _decode_each(rows):
    found = []
    for row in rows:
        try:
            found.append(row.decode("utf-8"))
        except UnicodeDecodeError:
            found.append(row.decode("latin-1"))
    return found


def _decode_replaced(rows):
    return [row.decode("utf-8", errors="replace") for row in rows]


def _decode_from_zero(rows):
    try:
        return _decode(rows)
    except ValueError as problem:
        words = str(problem).replace(",", " ,").split()
        words = [str(int(w) - 1) if w.isdigit() else w for w in words]
        raise ValueError(" ".join(words)) from None


def _check_decoded(rows: list[bytes], what: str):
    def test(f) -> None:
        found, wanted = f(list(rows)), _decode(rows)
        if list(found) != wanted:
            raise AssertionError(f"{what}: expected {wanted!r}, got {found!r}")

    return test


def _check_refused(rows: list[bytes], numbers: tuple[int, int], what: str):
    def test(f) -> None:
        try:
            found = f(list(rows))
        except NotImplementedError:
            raise
        except ValueError as problem:
            told = {
                int(w) for w in "".join(c if c.isdigit() else " " for c in str(problem)).split()
            }
            if not set(numbers) <= told:
                raise AssertionError(
                    f"{what}: the message must name lines {numbers[0]} and {numbers[1]}, "
                    f"it says {str(problem)!r}"
                ) from None
            return
        raise AssertionError(f"{what}: expected a ValueError, got {found!r}")

    return test


_PLAIN, _NEW, _OLD = b"1 plain", "0 caf\u00e9".encode(), "0 caf\u00e9".encode("latin-1")
DECODE = Exercise(
    "ch19-decode",
    "decode the lines of a file, and refuse one that mixes encodings",
    (
        Step("plain ASCII and UTF-8", _check_decoded([_PLAIN, _NEW], "UTF-8")),
        Step("a file in Latin-1", _check_decoded([_OLD, _PLAIN], "Latin-1")),
        Step(
            "a mixed file is refused, with a line of each kind",
            _check_refused([_PLAIN, _OLD, _PLAIN, _NEW], (2, 4), "mixed"),
        ),
        Step("lines count from 1", _check_refused([_NEW, _OLD], (1, 2), "mixed at once")),
    ),
    _decode,
    {
        "each line by itself": _decode_each,
        "what does not fit is replaced": _decode_replaced,
        "lines count from 0": _decode_from_zero,
    },
)

EXERCISES = (FITS, LABEL, SAVED, DECODE)
