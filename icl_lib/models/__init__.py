"""Attention in its forms, one GPT, and what surrounds it: presets, conversion, checkpoints.

- ``attention``: softmax, linear and momentum attention as plain functions.
- ``config``, ``gpt``: the shape of a GPT and the GPT itself, with cache and generation.
- ``linear_transformer``: attention layers on (x, y) tokens, nothing else.
- ``record``: what a forward pass remembers when asked (scores, queries, keys, values, outputs).
- ``sampling``: greedy, temperature, top-k, top-p.
- ``presets``: every model the book names, and the parameter count by hand.
- ``convert``: GPT-2 and the fairseq dense models by way of ``transformers``.
- ``checkpoint``: safetensors with a card; the hash of a model's weights.
"""
