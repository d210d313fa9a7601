"""The lab language: stated probabilities, what is reserved, and the best reader by brute force."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from icl_lib.tasks import lab as language
from icl_lib.tasks.classification import check_task, render_demonstration
from icl_lib.tasks.lab import (
    AND,
    BEGIN,
    BLANK,
    RESERVED,
    RESERVED_CLASSES,
    RESERVED_NAMES,
    Lab,
)
from icl_lib.tasks.lab_bayes import (
    Reader,
    assignments,
    bayes_accuracy,
    pair_log_likelihood,
    single_log_likelihood,
    texts_of,
)
from icl_lib.tasks.lab_tasks import SPLITS, LabTask, measured_tasks, practice_tasks

LAB = Lab()
MEASURED = list(measured_tasks().values())
ALL = [*MEASURED, *practice_tasks().values()]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def examples_of(documents, length):
    """Split documents of solved examples into texts and labels."""
    solved = documents[:, 1:].unflatten(1, (-1, length + 1))
    assert (documents[:, 0] == BEGIN).all()
    assert not torch.isin(documents, torch.tensor([BLANK])).any()
    return solved[:, :, :length], solved[:, :, -1]


# ---- tokens -------------------------------------------------------------------------------------


def test_each_combination_of_values_is_one_word():
    values = torch.tensor(list(itertools.product(*map(range, LAB.sizes))))
    words = LAB.word(values)
    assert words.tolist() == list(range(language.FIRST_WORD, LAB.first_meaning))
    assert torch.equal(LAB.values(words), values)


def test_each_value_of_an_attribute_has_one_label_that_means_it():
    meant = [LAB.meaning(a, v) for a in range(4) for v in range(LAB.choices(a))]
    assert meant == list(range(LAB.first_meaning, LAB.first_arbitrary))
    assert LAB.vocab_size == LAB.first_arbitrary + LAB.arbitrary


@pytest.mark.parametrize(
    "wrong",
    [{"sizes": (8, 5, 4)}, {"noise": 1.2}, {"words": 0}, {"arbitrary": 5}],
)
def test_impossible_languages_are_refused(wrong):
    with pytest.raises(ValueError, match="got"):
        Lab(**wrong)


# ---- sentences: the stated probabilities --------------------------------------------------------


def within(found, wanted, count):
    """Compare frequencies with probabilities, five standard errors wide."""
    assert (found - wanted).abs().max() < 5 * math.sqrt(0.25 / count)


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_words_show_the_asked_attribute_through_the_stated_noise(asked):
    size = LAB.sizes[asked]
    value = torch.arange(4000)[None] % size
    texts = LAB.texts(torch.tensor([asked]), value, seeded())[0]
    shown = LAB.values(texts)[..., asked]
    table = torch.zeros(size, size).index_put_(
        (value[0][:, None].expand_as(shown).flatten(), shown.flatten()),
        torch.tensor(1.0),
        accumulate=True,
    )
    found = table / table.sum(1, keepdim=True)
    wanted = (1 - LAB.noise) * torch.eye(size) + LAB.noise / size
    within(found, wanted, table.sum(1).min().item())


def test_other_attributes_leave_a_trace():
    texts = LAB.texts(torch.tensor([0]), torch.zeros(1, 20_000).long(), seeded())[0]
    for attribute in (1, 2):
        shown, size = LAB.values(texts)[..., attribute], LAB.sizes[attribute]
        within(torch.bincount(shown.flatten(), minlength=size) / shown.numel(), 1 / size, 20_000)
        # two words agree if both keep the sentence's value, or by chance
        same = (shown[:, 0] == shown[:, 1]).float().mean()
        wanted = LAB.trace**2 + (1 - LAB.trace**2) / size
        within(same, wanted, 20_000)


def test_sentences_of_pairs_agree_in_what_is_said_and_nowhere_else():
    clean = Lab(pair_noise=0.0)
    agreement = torch.arange(8).repeat(500)[None]
    texts = clean.pairs(agreement, seeded())[0]
    assert (texts[:, clean.pair_words] == AND).all()
    first, second = clean.values(texts[:, :3]), clean.values(texts[:, 4:])
    assert (first == first[:, :1]).all()
    same = (first[:, 0] == second[:, 0]).long()
    assert torch.equal((same * torch.tensor([1, 2, 4])).sum(1), agreement[0])
    # different values are uniform on the others
    apart = (second[:, 0, 1] - first[:, 0, 1])[same[:, 1] == 0] % 10
    within(torch.bincount(apart, minlength=10)[1:] / len(apart), 1 / 9, len(apart))


def test_sentences_of_a_class_differ():
    texts = LAB.texts(torch.tensor([1]), torch.zeros(1, 500).long(), seeded())[0]
    assert len({tuple(t) for t in texts.tolist()}) > 490


# ---- documents ----------------------------------------------------------------------------------


def test_documents_are_what_their_plan_says():
    clean = Lab(noise=0.0)
    plan = clean.plans(300, seeded(1))
    texts, labels = examples_of(clean.documents(plan, 12, seeded(2)), clean.words)
    shown = clean.values(texts)[:, :, 0].gather(2, plan.asked[:, None, None].expand(-1, 12, 1))
    for row in range(300):
        values = plan.values[row]
        for value, label in zip(shown[row, :, 0], labels[row], strict=True):
            (which,) = (plan.labels[row] == label).nonzero()[:, 0].tolist()
            assert value in values[which]
    assert (plan.values[:, :, 0] >= 0).sum(1).equal(plan.classes)
    assert ((plan.values >= 0).sum(2).max(1).values).equal(plan.breadth)


def test_a_pool_brings_sentences_back_word_by_word():
    plan = LAB.plans(200, seeded(3))
    texts, labels = examples_of(LAB.documents(plan, 16, seeded(4), pool=1), LAB.words)
    for row in range(200):
        by_text = {}
        for text, label in zip(texts[row].tolist(), labels[row].tolist(), strict=True):
            by_text.setdefault(tuple(text), set()).add(label)
        assert len(by_text) <= plan.classes[row] * plan.breadth[row]


def test_classes_are_uniform_in_a_document():
    plan = LAB.plans(4000, seeded(5))
    _, labels = examples_of(LAB.documents(plan, 1, seeded(6)), LAB.words)
    two = plan.classes == 2
    first = (labels[two, 0] == plan.labels[two, 0]).float().mean()
    within(first, 0.5, two.sum().item())


def test_repeats_have_a_period():
    drawn = LAB.repeats(200, 40, 12, seeded())
    for row in drawn[:, 1:]:
        assert any(torch.equal(row[p:], row[:-p]) for p in range(3, 13))
    assert (drawn[:, 0] == BEGIN).all()


def test_dictionaries_explain_words():
    drawn = LAB.dictionaries(30, 8, seeded())
    assert (drawn[:, 0] == BEGIN).all()
    entries = drawn[:, 1:].unflatten(1, (8, 4))
    for word, *labels in entries.flatten(0, 1).tolist():
        values = LAB.values(torch.tensor(word)).tolist()
        assert labels == [LAB.meaning(a, v) for a, v in enumerate(values)]


def test_singles_and_pairs_do_not_share_a_call():
    plan, pairs = LAB.plans(1, seeded()), LAB.plans(1, seeded(), pairs=True)
    both = type(plan)(*(torch.cat([getattr(p, f) for p in (plan, pairs)]) for f in vars(plan)))
    with pytest.raises(ValueError, match="all pairs"):
        LAB.documents(both, 2, seeded())


# ---- what is reserved ---------------------------------------------------------------------------


def values_used(plan):
    return [
        (int(a), sorted(int(v) for v in values.flatten() if v >= 0))
        for a, values in zip(plan.asked, plan.values, strict=True)
    ]


@pytest.mark.parametrize("pairs", [False, True])
def test_no_training_document_uses_a_reserved_pair_of_values(pairs):
    plan = LAB.plans(8000, seeded(7), pairs=pairs)
    for asked, values in values_used(plan):
        assert len(set(values)) == len(values)
        assert not any(set(pair) <= set(values) for pair in RESERVED[asked])


def test_no_training_document_has_a_reserved_class():
    plan = LAB.plans(8000, seeded(7))
    for asked, values in zip(plan.asked, plan.values, strict=True):
        classes = {tuple(sorted(c)) for c in values.tolist()}
        assert not classes & set(RESERVED_CLASSES[asked])


@pytest.mark.parametrize("pairs", [False, True])
def test_all_other_pairs_of_values_do_meet_in_training(pairs):
    used = values_used(LAB.plans(8000, seeded(7), pairs=pairs))
    for asked in {a for a, _ in used}:
        met = {p for a, values in used if a == asked for p in itertools.combinations(values, 2)}
        assert met | set(RESERVED[asked]) == set(
            itertools.combinations(range(LAB.choices(asked)), 2)
        )
        assert not met & set(RESERVED[asked])


@pytest.mark.parametrize("pairs", [False, True])
def test_no_training_document_gives_a_value_its_reserved_label(pairs):
    plan = LAB.plans(8000, seeded(8), pairs=pairs)
    for asked, names in enumerate(RESERVED_NAMES):
        for value, name in names.items():
            named = plan.labels == LAB.first_arbitrary + name
            wrong = named & (plan.values == value).any(2) & (plan.asked == asked)[:, None]
            assert not wrong.any()


@pytest.mark.parametrize("pairs", [False, True])
def test_labels_mean_the_first_value_of_their_class_or_nothing(pairs):
    plan = Lab(meaningful=1.0).plans(2000, seeded(10), pairs=pairs)
    count = meant = 0
    for asked, values, labels in zip(plan.asked, plan.values, plan.labels, strict=True):
        for value, label in zip(values[:, 0].tolist(), labels.tolist(), strict=True):
            assert (value < 0) == (label < 0)
            if value >= 0:
                count += 1
                meant += label == LAB.meaning(int(asked), value)
                assert label == LAB.meaning(int(asked), value) or label >= LAB.first_arbitrary
    within(torch.tensor(meant / count), 0.75, count)
    none = Lab(meaningful=0.0).plans(500, seeded(10), pairs=pairs).labels
    assert (none[none >= 0] >= LAB.first_arbitrary).all()


def test_all_values_and_other_labels_do_occur_in_training():
    for pairs in (False, True):
        plan = LAB.plans(5000, seeded(9), pairs=pairs)
        for asked in {int(a) for a in plan.asked}:
            used = plan.values[plan.asked == asked]
            assert set(used[used >= 0].tolist()) == set(range(LAB.choices(asked)))
    arbitrary = set(range(LAB.first_arbitrary, LAB.vocab_size))
    assert arbitrary <= set(plan.labels.flatten().tolist())


def bars(asked, one, two):
    """Tell whether no training document can have these two classes."""
    met = any({v, w} <= {*one, *two} for v, w in RESERVED[asked])
    return met or any(tuple(sorted(c)) in RESERVED_CLASSES[asked] for c in (one, two))


@pytest.mark.parametrize("task", MEASURED, ids=lambda t: t.name)
def test_measured_tasks_are_made_of_what_is_reserved(task):
    assert any(bars(task.asked, a, b) for a, b in itertools.combinations(task.classes, 2))
    for values, name in zip(task.classes, task.names, strict=True):
        if len(values) == 2:
            assert tuple(sorted(values)) in RESERVED_CLASSES[task.asked]
        if name is not None:
            assert RESERVED_NAMES[task.asked][values[0]] == name


def test_reserved_pairs_do_not_overlap():
    for pairs in RESERVED:
        values = [v for pair in pairs for v in pair]
        assert len(set(values)) == len(values)


def test_measured_tasks_have_the_shapes_of_the_papers():
    assert [len(t.classes) for t in MEASURED] == [2, 5, 2, 2, 4, 3]
    assert [len(t.split("train")[0].parts) for t in MEASURED] == [1, 1, 1, 1, 1, 2]
    meant = [sum(n is None for n in t.names) for t in MEASURED]
    assert meant == [2, 2, 2, 0, 1, 2]


def test_practice_tasks_share_no_class_with_measured_ones():
    for other in practice_tasks().values():
        for task in MEASURED:
            if task.asked == other.asked:
                assert not {frozenset(c) for c in task.classes} & {
                    frozenset(c) for c in other.classes
                }
                assert not set(task.labels) & set(other.labels)


# ---- tasks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ALL, ids=lambda t: t.name)
def test_tasks_keep_to_the_protocol(task):
    check_task(task)
    train, validation = (task.split(name) for name in SPLITS)
    assert task.split("train") is train
    assert len(train) == len(validation) == task.examples
    assert not {e.parts for e in train[:50]} & {e.parts for e in validation[:50]}
    shown = render_demonstration(task, train[0])
    length = LAB.text_length(task.asked)
    assert len(shown) == length + 1
    assert shown[-1] == task.label_tokens[train[0].gold]
    gold = torch.tensor([e.gold for e in train])
    share = torch.bincount(gold, minlength=len(task.classes)) / len(gold)
    within(share, 1 / len(task.classes), len(gold))


def test_prompts_look_like_training_documents():
    task = measured_tasks()["lab-cb"]
    shown = [render_demonstration(task, e) for e in task.split("train")[:3]]
    prompt = torch.cat([task.prefix, *shown])
    document = LAB.documents(task.plan(1), 3, seeded())[0]
    marks = torch.tensor([BEGIN, BLANK, AND])
    assert torch.equal(torch.isin(prompt, marks), torch.isin(document, marks))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classes": ((0,), (0,))}, "different"),
        ({"classes": ((0,), (1, 2))}, "one value or two"),
        ({"names": (1,)}, "2 classes"),
    ],
)
def test_impossible_tasks_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        LabTask(**{"name": "t", "asked": 1, "classes": ((0,), (1,)), "names": (0, 1)} | wrong)
    with pytest.raises(KeyError, match="train, validation"):
        MEASURED[0].split("test")


# ---- the best reader ----------------------------------------------------------------------------

TINY = Lab(words=2, pair_words=1, noise=0.3, pair_noise=0.25, trace=0.4)


def chance(x, v, size, keep):
    return keep * (x == v) + (1 - keep) / size


def slow_single(lab, asked, text, value):
    """Sum over all values of the sentence, word by word."""
    total = 0.0
    for centre in itertools.product(*map(range, lab.sizes)):
        if centre[asked] != value:
            continue
        p = lab.sizes[asked] / math.prod(lab.sizes)
        for word in text:
            for a, x in enumerate(lab.values(torch.tensor(word)).tolist()):
                p *= chance(x, centre[a], lab.sizes[a], 1 - lab.noise if a == asked else lab.trace)
        total += p
    return total


def slow_pair(lab, first, second, agreement):
    """Product over attributes of the sum over both sentences' values."""
    total = 1.0
    for a, size in enumerate(lab.sizes):
        same = agreement >> a & 1
        options = [(u, v) for u in range(size) for v in range(size) if (u == v) == bool(same)]
        part = 0.0
        for u, v in options:
            p = 1 / len(options)
            for words, centre in ((first, u), (second, v)):
                for w in words:
                    x = lab.values(torch.tensor(w)).tolist()[a]
                    p *= chance(x, centre, size, 1 - lab.pair_noise)
            part += p
        total *= part
    return total


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_likelihood_of_a_sentence_is_the_sum_over_what_it_hides(asked):
    texts = TINY.texts(torch.tensor([asked]), torch.tensor([[0, 1]]), seeded(11))[0]
    found = single_log_likelihood(TINY, asked, texts).exp()
    for row, text in enumerate(texts.tolist()):
        for value in (0, 1, 3):
            assert found[row, value].item() == pytest.approx(
                slow_single(TINY, asked, text, value), rel=1e-12
            )


def test_likelihood_of_a_pair_is_the_sum_over_both_sentences():
    lab = Lab(pair_words=2)
    texts = lab.pairs(torch.tensor([[0, 5, 7]]), seeded(12))[0]
    found = pair_log_likelihood(lab, texts).exp()
    for row, text in enumerate(texts.tolist()):
        for agreement in range(8):
            wanted = slow_pair(lab, text[:2], text[3:], agreement)
            assert found[row, agreement].item() == pytest.approx(wanted, rel=1e-12)


def test_likelihoods_are_probabilities():
    one = Lab(words=1, pair_words=1)
    words = torch.arange(language.FIRST_WORD, one.first_meaning)
    for asked in range(3):
        total = single_log_likelihood(one, asked, words[:, None]).exp().sum(0)
        torch.testing.assert_close(total, torch.ones_like(total))
    both = torch.cartesian_prod(words, torch.tensor([AND]), words)
    total = pair_log_likelihood(one, both).exp().sum(0)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize(("classes", "breadth", "known"), [(2, 1, 0), (3, 1, 1), (2, 2, 1)])
def test_assignments_are_all_that_are_possible(classes, breadth, known):
    must = tuple([4] * known + [-1] * (classes - known))
    sets, found = assignments(6, classes, breadth, must)
    rows = {tuple(tuple(sets[i].tolist()) for i in row) for row in found.tolist()}
    wanted = set()
    for choice in itertools.product(itertools.combinations(range(6), breadth), repeat=classes):
        flat = [v for s in choice for v in s]
        if len(set(flat)) == len(flat) and all(
            k < 0 or k in s for k, s in zip(must, choice, strict=True)
        ):
            wanted.add(choice)
    assert rows == wanted
    assert len(found) == len(wanted)


def slow_reader(reader, queries, texts, answers):
    """Weigh every hypothesis by itself, in plain loops."""
    joint = torch.zeros(len(queries), len(reader.labels), dtype=torch.float64)
    for (asked, breadth), chance_of in reader.families().items():
        known = [-1 if m is None else m[1] for m in map(reader._meaning, reader.labels)]
        of_demos = reader.likelihood(asked, texts).exp()
        of_queries = reader.likelihood(asked, queries).exp()
        sets = list(itertools.combinations(range(reader.lab.choices(asked)), breadth))
        hypotheses = [
            h
            for h in itertools.product(sets, repeat=len(known))
            if len({v for s in h for v in s}) == breadth * len(known)
            and all(k < 0 or k in s for k, s in zip(known, h, strict=True))
        ]
        for h in hypotheses:
            p = chance_of / len(hypotheses)
            for row, y in enumerate(answers.tolist()):
                p = p * of_demos[row, list(h[y])].mean()
            for y, members in enumerate(h):
                joint[:, y] += p * of_queries[:, list(members)].mean(1)
    return joint / joint.sum(1, keepdim=True)


@pytest.mark.parametrize("name", ["lab-mr", "lab-subj", "lab-cb"])
@pytest.mark.parametrize("shown", [0, 3])
def test_the_reader_is_brute_force(name, shown):
    task = measured_tasks(TINY)[name]
    reader = Reader.of(task)
    texts, answers = texts_of(task.split("train")[:shown], TINY) if shown else (None, None)
    queries, _ = texts_of(task.split("validation")[:6], TINY)
    found = reader.probabilities(queries, texts, answers)
    none = queries[:0], torch.empty(0, dtype=torch.long)
    wanted = slow_reader(reader, queries, *((texts, answers) if shown else none))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_the_reader_is_brute_force_where_an_attribute_has_one_breadth_only():
    small = Lab(sizes=(6, 7, 4), words=2, noise=0.3, trace=0.4)
    task = LabTask("three", 1, ((0,), (1,), (2,)), (0, 1, 2), small)
    reader = Reader.of(task)
    assert sum(reader.families().values()) == pytest.approx(1)
    assert reader.families()[2, 1] == pytest.approx(2 * reader.families()[1, 1])
    texts, answers = texts_of(task.split("train")[:3], small)
    queries, _ = texts_of(task.split("validation")[:4], small)
    found = reader.probabilities(queries, texts, answers)
    wanted = slow_reader(reader, queries, texts, answers)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_without_demonstrations_arbitrary_labels_are_equally_likely():
    for task in (measured_tasks()["lab-subj"], measured_tasks()["lab-cb"]):
        names = tuple(range(len(task.classes)))
        task = dataclasses.replace(task, names=names)
        found = Reader.of(task).probabilities(texts_of(task.split("validation"), LAB)[0])
        torch.testing.assert_close(found, torch.full_like(found, 1 / found.shape[1]))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(MEASURED[2:4] + MEASURED[5:]))
def test_order_of_demonstrations_and_names_of_labels_do_not_matter(seed, task):
    train, queries = task.split("train"), texts_of(task.split("validation")[:20], LAB)[0]
    chosen = [train[i] for i in torch.randperm(len(train), generator=seeded(seed))[:8]]
    texts, answers = texts_of(chosen, LAB)
    reader, back = Reader.of(task), torch.arange(7, -1, -1)
    found = reader.probabilities(queries, texts, answers)
    torch.testing.assert_close(found, reader.probabilities(queries, texts[back], answers[back]))
    turned = Reader(LAB, reader.labels[::-1], reader.pairs)
    other = turned.probabilities(queries, texts, len(reader.labels) - 1 - answers)
    torch.testing.assert_close(found, other.flip(1))


def random_task(generator):
    """Draw a task as the reader believes tasks are drawn: two classes, arbitrary labels."""
    families = Reader(LAB, (LAB.first_arbitrary, LAB.first_arbitrary + 1)).families()
    chances = torch.tensor(list(families.values()))
    asked, breadth = list(families)[torch.multinomial(chances, 1, generator=generator)]
    order = torch.randperm(LAB.choices(asked), generator=generator).tolist()
    classes = tuple(tuple(order[c * breadth : (c + 1) * breadth]) for c in range(2))
    return LabTask("random", asked, classes, (0, 1))


def test_the_reader_is_calibrated_on_tasks_drawn_from_its_own_law():
    generator, said, right = seeded(13), [], []
    for _ in range(200):
        task = random_task(generator)
        (texts, answers), (queries, gold) = (
            texts_of(task.draw(n, generator), LAB) for n in (2, 10)
        )
        p = Reader.of(task).probabilities(queries, texts, answers)
        said.append(p.max(1).values)
        right.append((p.argmax(1) == gold).double())
    said, right = torch.cat(said), torch.stack(right)
    # queries of a task depend on each other: the standard error is that of the means of tasks
    error = right.mean(1).std() / math.sqrt(len(right))
    assert abs(said.mean() - right.mean()) < 4 * error


def test_demonstrations_help_the_reader_up_to_what_the_noise_allows():
    zero, few = [], []
    for task in MEASURED:
        queries = task.split("validation")
        zero.append(bayes_accuracy(task, (), queries))
        few.append(bayes_accuracy(task, task.split("train")[:16], queries))
    assert 0.6 < sum(zero) / 6 < 0.75
    assert sum(few) / 6 > 0.98


def test_the_reader_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match="no task of the language"):
        Reader(LAB, (LAB.meaning(0, 1), LAB.meaning(1, 1)))
    with pytest.raises(ValueError, match="no task of the language"):
        Reader(LAB, (LAB.meaning(0, 1), LAB.first_arbitrary), pairs=True)
    task = MEASURED[0]
    queries, _ = texts_of(task.split("validation")[:3], LAB)
    with pytest.raises(ValueError, match="as many answers"):
        Reader.of(task).probabilities(queries, queries)
    with pytest.raises(ValueError, match="an attribute is"):
        single_log_likelihood(LAB, 3, queries)
