"""The paper's protocol, slowly and literally: one query at a time, full prompts, plain loops.

It shares nothing with :mod:`icl_lib.meta` but the order of the demonstrations; the model is read
through :class:`icl_lib.models.record.Record` alone, finetuning is autograd and one line of SGD.
"""

import copy

import numpy as np
import torch
from scipy.stats import kendalltau

from icl_lib.models.record import Record


def forward(model, tokens):
    record = Record("attention_output", "scores", "weights", "queries", "keys", "values")
    with torch.no_grad():
        logits = model(tokens[None], record=record)
    return logits[0], record


def label_scores(model, prompt, labels):
    scores = []
    for label in labels:
        total = 0.0
        for i in range(len(label)):
            logits, _ = forward(model, torch.cat([prompt, label[:i]]))
            total += float(torch.log_softmax(logits[-1], 0)[label[i]])
        scores.append(total)
    return scores


def prompt_of(task, demonstrations):
    parts, places, at = [task.prefix], [], len(task.prefix)
    for d in demonstrations:
        tokens = torch.cat([d.text, d.label])
        places += range(at, at + len(tokens))
        parts += [tokens, task.separator]
        at += len(tokens) + len(task.separator)
    return torch.cat(parts), places


def finetune(model, task, demonstrations, lr):
    """One pass, one demonstration a step, keys and values with biases, loss on all tokens."""
    model = copy.deepcopy(model)
    queries = [[] for _ in model.blocks]
    for d in demonstrations:
        tokens = torch.cat([task.prefix, d.text, d.label])
        _, record = forward(model, tokens)
        for layer in range(len(model.blocks)):
            q = record.layer("queries", layer)[0]  # H T K
            for t in range(len(task.prefix), len(tokens)):
                queries[layer].append(q[:, t])
        for p in model.parameters():
            p.grad = None
        logits = model(tokens[None])[0]
        loss = 0.0
        for t in range(1, len(tokens)):
            loss = loss - torch.log_softmax(logits[t - 1], 0)[tokens[t]]
        (loss / (len(tokens) - 1)).backward()
        for name, p in model.named_parameters():
            if "k_proj" in name or "v_proj" in name:
                p.data -= lr * p.grad
    return model, queries


def cos(a, b):
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def unit(a):
    return a / np.sqrt(a @ a)


def protocol(model, task, demonstrations, examples, lr):
    """Return predictions and the paper's four metrics, as the paper's section 4 defines them."""
    tuned, training_queries = finetune(model, task, demonstrations, lr)
    prompt, places = prompt_of(task, demonstrations)
    layers = len(model.blocks)
    said, found = {"zsl": [], "icl": [], "ft": []}, {}

    def add(name, layer, value):
        found.setdefault(name, [[] for _ in range(layers)])[layer].append(value)

    for example in examples:
        text = task.render(example)
        zero, full = torch.cat([task.prefix, text]), torch.cat([prompt, text])
        setting = {"zsl": (model, zero), "icl": (model, full), "ft": (tuned, zero)}
        runs = {}
        for name, (net, tokens) in setting.items():
            said[name].append(int(np.argmax(label_scores(net, tokens, task.label_tokens))))
            runs[name] = forward(net, tokens)[1]
        n = len(text)
        for layer in range(layers):
            h = {
                c: r.layer("attention_output", layer)[0, -1].double().numpy()
                for c, r in runs.items()
            }
            normal = {c: unit(v) for c, v in h.items()}
            add("simaou", layer, cos(normal["icl"] - normal["zsl"], normal["ft"] - normal["zsl"]))
            add("simaou_raw", layer, cos(h["icl"] - h["zsl"], h["ft"] - h["zsl"]))
            m = {c: r.layer("scores", layer)[0, :, -1].numpy() for c, r in runs.items()}
            before, after, change, centred = [], [], [], []
            for head in range(m["zsl"].shape[0]):
                row = {c: s[head, -n:] for c, s in m.items()}
                before.append(cos(row["icl"], row["zsl"]))
                after.append(cos(row["icl"], row["ft"]))
                change.append(cos(row["icl"] - row["zsl"], row["ft"] - row["zsl"]))
                centred.append(np.corrcoef(row["icl"], row["ft"])[0, 1])
            add("simam_before", layer, np.mean(before))
            add("simam", layer, np.mean(after))
            add("simam_change", layer, np.mean(change))
            add("simam_centred", layer, np.mean(centred))
            context = m["icl"][:, places].sum(0)
            query = runs["ft"].layer("queries", layer)[0, :, -1]
            trained = [float((q * query).sum()) for q in training_queries[layer]]
            trained = np.round(trained, 11)  # equal words at equal places tie but for rounding
            add("kendall_b_query", layer, kendalltau(context, trained).statistic)
            add("kendall_a_query", layer, tau_a(context, trained))
    return said, {name: np.array([np.mean(v) for v in rows]) for name, rows in found.items()}


def tau_a(x, y):
    n, concordant, discordant = len(x), 0, 0
    for i in range(n):
        for j in range(i):
            product = (x[i] - x[j]) * (y[i] - y[j])
            concordant += product > 0
            discordant += product < 0
    return (concordant - discordant) / (n * (n - 1) / 2)


def rec2ftp(said, gold):
    both = sum(
        f == g and i == g and z != g for z, i, f, g in zip(*said.values(), gold, strict=True)
    )
    ft = sum(f == g and z != g for z, f, g in zip(said["zsl"], said["ft"], gold, strict=True))
    return both / ft if ft else float("nan")
