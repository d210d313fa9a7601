"""The converted models compute what `transformers` computes, to 1e-10 in float64."""

import pytest
import torch

from icl_lib.models.convert import ConversionError, from_transformers, load_pretrained
from icl_lib.models.gpt import GPT

transformers = pytest.importorskip("transformers")


def gpt2(**options):
    config = {
        "vocab_size": 37, "n_positions": 24, "n_embd": 12, "n_layer": 3, "n_head": 3,
        "attn_pdrop": 0.0,
        "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**config | options))


def xglm(**options):
    config = {
        "vocab_size": 37, "max_position_embeddings": 24, "d_model": 12, "ffn_dim": 20,
        "num_layers": 3,
        "attention_heads": 3, "dropout": 0.0, "attention_dropout": 0.0,
    }  # fmt: skip
    return transformers.XGLMForCausalLM(transformers.XGLMConfig(**config | options))


@pytest.fixture(autouse=True)
def _float64():
    """XGLM makes a scalar of the default type, where float64's smallest number overflows."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


BUILDERS = {"gpt2": gpt2, "xglm": xglm}


@pytest.fixture(params=sorted(BUILDERS))
def theirs(request):
    """A tiny random model in float64 whose biases and norms are not the trivial 0 and 1."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = BUILDERS[request.param]().double().eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.3 * torch.randn_like(weight)
    return model


def close(ours, theirs):
    assert theirs.dtype == torch.float64
    assert (ours - theirs).abs().max().item() <= 1e-10


TOKENS = torch.arange(20).view(2, 10) * 7 % 37


@torch.no_grad()
def test_logits_agree(theirs):
    ours = from_transformers(theirs)
    close(ours(TOKENS), theirs(TOKENS).logits)


@torch.no_grad()
def test_logits_agree_with_cache(theirs):
    ours = from_transformers(theirs)
    cache, past = ours.new_cache(2), None
    for part in TOKENS.split([4, 3, 1, 1, 1], dim=1):
        reply = theirs(part, past_key_values=past, use_cache=True)
        past = reply.past_key_values
        close(ours(part, cache=cache), reply.logits)


@torch.no_grad()
@pytest.mark.parametrize("cached", [False, True])
def test_logits_agree_with_left_padding(theirs, cached):
    ours = from_transformers(theirs)
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[0, :3] = False
    where = (mask.long().cumsum(1) - 1).clamp(min=0)
    real = mask[..., None]
    expected = theirs(TOKENS, attention_mask=mask.long(), position_ids=where).logits
    if cached:
        cache = ours.new_cache(2)
        ends = zip((0, 6, 7, 8), (6, 7, 8, 10), strict=True)
        parts = [ours(TOKENS[:, a:b], mask=mask[:, :b], cache=cache) for a, b in ends]
        close(torch.cat(parts, 1) * real, expected * real)
    else:
        close(ours(TOKENS, mask=mask) * real, expected * real)


def test_greedy_generation_gives_the_same_tokens(theirs):
    ours = from_transformers(theirs)
    theirs.generation_config.eos_token_id = None
    expected = theirs.generate(
        TOKENS, attention_mask=torch.ones_like(TOKENS), max_new_tokens=8, do_sample=False,
        pad_token_id=0,
    )  # fmt: skip
    assert torch.equal(ours.generate(TOKENS, 8, greedy=True), expected)


def test_gradients_agree(theirs):
    ours = from_transformers(theirs)
    ours(TOKENS).logsumexp(-1).sum().backward()
    theirs(TOKENS).logits.logsumexp(-1).sum().backward()
    table = theirs.get_input_embeddings().weight.grad
    close(ours.tokens.weight.grad[2:], table[2:])  # row 1 is XGLM's padding: it gets no gradient


@pytest.mark.parametrize("kind", sorted(BUILDERS))
def test_untied_models_keep_their_own_head(kind):
    theirs = BUILDERS[kind](tie_word_embeddings=False).double().eval()
    ours = from_transformers(theirs)
    assert not ours.config.tied
    with torch.no_grad():
        close(ours(TOKENS), theirs(TOKENS).logits)


def test_a_saved_folder_is_loaded(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path, offline=True, dtype=torch.float64)
    assert isinstance(ours, GPT)
    assert not ours.training
    with torch.no_grad():
        close(ours(TOKENS), theirs(TOKENS).logits)


def test_nothing_is_shared_with_the_original(theirs):
    ours = from_transformers(theirs)
    before = ours.tokens.weight.clone()
    with torch.no_grad():
        theirs.get_input_embeddings().weight.zero_()
    assert torch.equal(ours.tokens.weight, before)


def test_without_a_network_the_message_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConversionError) as caught:
        load_pretrained("some-one/no-such-model", offline=True)
    message = str(caught.value)
    for part in ("some-one/no-such-model", "local folder", "download cache", "hf download"):
        assert part in message
    with pytest.raises(ConversionError, match="save_pretrained"):
        load_pretrained(tmp_path / "nowhere", offline=True)


def test_without_transformers_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ConversionError, match=r"pip install 'icl-lib\[hf\]'"):
        load_pretrained("gpt2")


def test_other_models_and_options_are_refused(tmp_path):
    config = transformers.OpenAIGPTConfig(vocab_size=9, n_embd=4, n_layer=1, n_head=1)
    with pytest.raises(ConversionError, match=r"type gpt2, xglm, got 'openai-gpt'"):
        from_transformers(transformers.OpenAIGPTLMHeadModel(config))
    with pytest.raises(ConversionError, match="activation 'silu', only gelu"):
        from_transformers(gpt2(activation_function="silu"))
    with pytest.raises(ConversionError, match="scale_attn_by_inverse_layer_idx=True, only False"):
        from_transformers(gpt2(scale_attn_by_inverse_layer_idx=True))
    config.save_pretrained(tmp_path)
    with pytest.raises(ConversionError, match="got 'openai-gpt'"):
        load_pretrained(tmp_path, offline=True)
