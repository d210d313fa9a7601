"""The paper's protocol, slowly and literally: one query at a time, full prompts, plain loops.

It shares nothing with :mod:`icl_lib.meta` but the order of the demonstrations; the model is read
through :class:`icl_lib.models.record.Record` and hooks, finetuning is autograd and one line of SGD.
"""

import copy

import numpy as np
import torch
from scipy.stats import kendalltau

from icl_lib.models.record import Record

SEEN = ("attention_output", "head_output", "scores", "weights", "queries", "keys", "values")


def forward(model, tokens):
    """Return logits, what attention did, and what the projections of each layer read."""
    record, inputs = Record(*SEEN), []
    hooks = [
        b.attention.k_proj.register_forward_pre_hook(lambda m, x: inputs.append(x[0][0]))
        for b in model.blocks
    ]
    with torch.no_grad():
        logits = model(tokens[None], record=record)
    for hook in hooks:
        hook.remove()
    return logits[0], record, inputs


def label_scores(model, prompt, labels):
    scores = []
    for label in labels:
        total = 0.0
        for i in range(len(label)):
            logits = forward(model, torch.cat([prompt, label[:i]]))[0]
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


def finetune(model, task, demonstrations, lr, biases):
    """One pass, one demonstration a step, keys and values, loss on all tokens.

    Returns the model and, for each layer, of each training token: attention queries, inputs, error
    signals of the values, and whether it is a demonstration's own and not of the opening.
    """
    model = copy.deepcopy(model)
    kept = [([], [], [], []) for _ in model.blocks]
    names = ("k_proj.weight", "v_proj.weight", *(("k_proj.bias", "v_proj.bias") if biases else ()))
    for d in demonstrations:
        tokens = torch.cat([task.prefix, d.text, d.label])
        _, record, inputs = forward(model, tokens)
        values = []
        hooks = [
            b.attention.v_proj.register_forward_hook(lambda m, x, y, kept=values: kept.append(y))
            for b in model.blocks
        ]
        for p in model.parameters():
            p.grad = None
        logits = model(tokens[None])[0]
        for value in values:
            value.retain_grad()
        loss = 0.0
        for t in range(1, len(tokens)):
            loss = loss - torch.log_softmax(logits[t - 1], 0)[tokens[t]]
        (loss / (len(tokens) - 1)).backward()
        for hook in hooks:
            hook.remove()
        for name, p in model.named_parameters():
            if name.endswith(names):
                p.data -= lr * p.grad
        for layer, (queries, read, errors, own) in enumerate(kept):
            q = record.layer("queries", layer)[0]  # H T K
            heads, width = q.shape[0], q.shape[2]
            for t in range(len(tokens)):
                own.append(t >= len(task.prefix))
                queries.append(q[:, t])
                read.append(inputs[layer][t])
                errors.append(-lr * values[layer].grad[0, t].view(heads, width))
    return model, kept


def cos(a, b):
    a, b = np.asarray(a, dtype=float).ravel(), np.asarray(b, dtype=float).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def unit(a):
    return a / np.sqrt(a @ a)


def pearson(a, b):
    return np.corrcoef(a, b)[0, 1]


def divergence(p, q):
    """Jensen–Shannon, in bits."""
    p, q = p / p.sum(), q / q.sum()
    m = (p + q) / 2
    return 0.5 * (p * np.log2(p / m)).sum() + 0.5 * (q * np.log2(q / m)).sum()


def protocol(model, task, demonstrations, examples, lr, biases=True):
    """Return predictions and every metric of every layer, query by query."""
    tuned, kept = finetune(model, task, demonstrations, lr, biases)
    prompt, places = prompt_of(task, demonstrations)
    said, found = {"zsl": [], "icl": [], "ft": []}, {}
    for example in examples:
        text = task.render(example)
        zero, full = torch.cat([task.prefix, text]), torch.cat([prompt, text])
        setting = {"zsl": (model, zero), "icl": (model, full), "ft": (tuned, zero)}
        runs = {}
        for name, (net, tokens) in setting.items():
            said[name].append(int(np.argmax(label_scores(net, tokens, task.label_tokens))))
            runs[name] = forward(net, tokens)
        for layer in range(len(model.blocks)):
            seen = {c: (r[1], r[2][layer]) for c, r in runs.items()}
            nets = model.blocks[layer].attention, tuned.blocks[layer].attention
            values = outputs(seen, layer) | maps(seen, layer, len(text))
            values |= ranks(seen, layer, len(text), places, kept[layer], biases)
            values |= updates(seen, layer, len(text), places, nets)
            for name, value in values.items():
                found.setdefault(name, [[] for _ in model.blocks])[layer].append(value)
    return said, {name: np.array([np.mean(v) for v in rows]) for name, rows in found.items()}


def outputs(seen, layer):
    h = {c: r.layer("attention_output", layer)[0, -1].numpy() for c, (r, _) in seen.items()}
    heads = {c: r.layer("head_output", layer)[0, :, -1].numpy() for c, (r, _) in seen.items()}
    normal = {c: unit(v) for c, v in h.items()}
    a, b = h["icl"] - h["zsl"], h["ft"] - h["zsl"]
    return {
        "simaou": cos(normal["icl"] - normal["zsl"], normal["ft"] - normal["zsl"]),
        "simaou_raw": cos(a, b),
        "simaou_beside": cos(*(x - unit(h["zsl"]) * (x @ unit(h["zsl"])) for x in (a, b))),
        "norm_ratio_icl": np.linalg.norm(a) / np.linalg.norm(h["zsl"]),
        "norm_ratio_ft": np.linalg.norm(b) / np.linalg.norm(h["zsl"]),
        "simaou_head": np.mean(
            [cos(i - z, f - z) for z, i, f in zip(*heads.values(), strict=True)]
        ),
    }


def maps(seen, layer, n):
    found = {}
    heads = seen["zsl"][0].layer("scores", layer).shape[1]
    for head in range(heads):
        m, p = (
            {c: r.layer(name, layer)[0, head, -1, -n:].numpy() for c, (r, _) in seen.items()}
            for name in ("scores", "weights")
        )
        change = m["icl"] - m["zsl"], m["ft"] - m["zsl"]
        row = {
            "simam_before": cos(m["icl"], m["zsl"]),
            "simam": cos(m["icl"], m["ft"]),
            "simam_centred_before": pearson(m["icl"], m["zsl"]),
            "simam_centred": pearson(m["icl"], m["ft"]),
            "simam_change": cos(*change),
            "simam_change_centred": pearson(*change),
            "simam_js_before": divergence(p["icl"], p["zsl"]),
            "simam_js": divergence(p["icl"], p["ft"]),
        }
        for name, value in row.items():
            found.setdefault(name, []).append(value)
    return {name: np.mean(values) for name, values in found.items()}


def ranks(seen, layer, n, places, kept, biases):
    queries, inputs, errors, own = kept
    icl, ft = seen["icl"][0], seen["ft"][0]
    context = icl.layer("scores", layer)[0, :, -1, places].sum(0).numpy()
    query, x = ft.layer("queries", layer)[0, :, -1], seen["ft"][1]
    weights = ft.layer("weights", layer)[0, :, -1, -n:]
    mean, mass = weights @ x[-n:], weights.sum(1)  # H D and H
    match = torch.stack([(mean @ i) + (mass if biases else 0) for i in inputs])  # N H
    added = match[..., None] * torch.stack(errors)  # N H K: what each token adds to each head
    ranked = {
        "query": np.array([float((q * query).sum()) for q in queries]),
        "input": np.array([float(i @ x[-1]) for i in inputs]),
        "error": np.array([float((added.sum(0) * a).sum()) for a in added]),
    }
    ranked = {name: values[own] for name, values in ranked.items()}  # the prompt has one opening
    found = {}
    for name, values in ranked.items():
        values = np.round(values / np.abs(values).max(), 11)  # equal words at equal places tie
        found[f"kendall_b_{name}"] = kendalltau(context, values).statistic
        found[f"kendall_a_{name}"] = tau_a(context, values)
    published = softmax(ranked["query"] / np.sqrt(query.shape[1])), softmax(context)
    published = (np.round(p / p.max(), 11) for p in published)
    return found | {"kendall_published": kendalltau(*published).statistic}


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def updates(seen, layer, n, places, nets):
    """Compare ΔW_ICL with ΔW_FT, equations 12 and 13, written as sums of outer products."""
    icl, x = seen["icl"][0], seen["zsl"][1][-n:]
    keys, values = (icl.layer(name, layer)[0] for name in ("keys", "values"))
    heads, width = keys.shape[0], keys.shape[2]
    cosines, sizes = [], []
    for head in range(heads):
        shown = sum(torch.outer(values[head, i], keys[head, i]) for i in places)
        both = []
        for net in nets:
            part = slice(head * width, (head + 1) * width)
            k, v = (p(x)[:, part].detach() for p in (net.k_proj, net.v_proj))
            both.append(sum(torch.outer(v[t], k[t]) for t in range(n)))
        trained = both[1] - both[0]
        cosines.append(cos(shown, trained))
        sizes.append(float(trained.norm() / shown.norm()))
    return {"update_cosine": np.mean(cosines), "update_size_ratio": np.mean(sizes)}


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
