# pyright: basic
"""Packed rows attended to document by document: as if each document came alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_base import lora, make_plan, source
from test_train import train_here
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    DeepseekV3Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from backends.native.attention import DOCUMENTS, AttentionError, documents_attention, register, require_apart

SIZES = dict(  # noqa: C408 - they are keywords
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, head_dim=8
)
TINY = 1e-6
"""A document of one token has no gradient of its queries."""
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=4),
    "mistral, whose window is shorter": MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=5),
    "deepseek, whose values are narrower than its keys": DeepseekV3Config(
        **{**SIZES, "num_hidden_layers": 1},
        num_key_value_heads=4,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        first_k_dense_replace=1,
    ),
    "gemma3, of whose layers some have a window": Gemma3TextConfig(**SIZES, num_key_value_heads=1, sliding_window=4),
}


def made(name: str, attention: str, device: str = "cpu", dtype: torch.dtype = torch.float32):
    register(device)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=attention, dtype=dtype)
    return model.to(device).eval()


def packed(lengths: list[int], device: str = "cpu") -> dict[str, object]:
    """As TRL's collator lays documents end to end."""
    generator = torch.Generator().manual_seed(sum(lengths))
    bounds = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)
    return {
        "input_ids": torch.randint(SIZES["vocab_size"], (1, sum(lengths)), generator=generator).to(device),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None].to(device),
        **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), bounds.to(device)),
        **dict.fromkeys(("max_length_q", "max_length_k"), max(lengths)),
        "use_cache": False,
    }


def answers(model, batch) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits, and the gradients of their sum of squares."""
    model.zero_grad()
    logits = model(**batch).logits
    logits.float().square().sum().backward()
    return logits.detach(), [item.grad for item in model.parameters() if item.grad is not None]


def alone(model, batch, lengths: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The same of each document in a forward pass of its own."""
    model.zero_grad()
    parts = [model(input_ids=ids, use_cache=False).logits for ids in batch["input_ids"].split(lengths, dim=1)]
    logits = torch.cat(parts, dim=1)
    logits.float().square().sum().backward()
    return logits.detach(), [item.grad for item in model.parameters() if item.grad is not None]


def close(left, right, relative: float) -> None:
    for one, other in zip([left[0], *left[1]], [right[0], *right[1]], strict=True):
        assert (one - other).norm() <= relative * other.norm() + TINY


@pytest.mark.parametrize("name", CONFIGS)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5))
@settings(max_examples=12, deadline=None)
def test_documents_do_not_see_each_other(name, lengths):
    model, reference = made(name, DOCUMENTS), made(name, "sdpa")
    batch = packed(lengths)
    close(answers(model, batch), alone(reference, batch, lengths), 1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_padded_rows_and_generation_are_as_with_sdpa(name):
    model, reference = made(name, DOCUMENTS), made(name, "sdpa")
    ids = packed([9, 9])["input_ids"].view(2, 9)
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    for given_mask in (mask, None):
        same = {"input_ids": ids, "attention_mask": given_mask}
        assert torch.equal(model(**same).logits, reference(**same).logits)
    told = {"input_ids": ids, "attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(model.generate(**told), reference.generate(**told))


@pytest.mark.parametrize("lengths", [[8] * 20, [160]])
@pytest.mark.parametrize("name", CONFIGS)
def test_no_mask_over_all_pairs_is_made(name, lengths):
    model, masks = made(name, DOCUMENTS), []
    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(
            lambda _, _given, named: masks.append(named["attention_mask"]), with_kwargs=True
        )
    with torch.no_grad():
        model(**packed(lengths))
    assert masks and not any(mask is not None for mask in masks)


def test_models_that_change_their_logits_are_refused():
    heads = torch.zeros(1, 2, 4, 8)
    with pytest.raises(AttentionError, match="eager"):
        documents_attention(torch.nn.Module(), heads, heads, heads, None, softcap=30.0)
    with pytest.raises(AttentionError, match="eager"):
        documents_attention(torch.nn.Module(), heads, heads, heads, None, s_aux=torch.zeros(2))


def test_a_model_that_keeps_documents_apart_is_left_as_it_was():
    model = made("mistral, whose window is shorter", DOCUMENTS).train()
    state = torch.get_rng_state()
    require_apart(model, torch.device("cpu"))
    assert model.training and torch.equal(torch.get_rng_state(), state)


MIXING = {
    "stablelm": (DOCUMENTS, "see each other"),
    "nemotron": (DOCUMENTS, "see each other"),
    "mamba": (DOCUMENTS, "see each other"),
    "gpt_oss": ("eager", "see each other"),
    "qwen3_next": (DOCUMENTS, "causal_conv1d"),
}


@pytest.mark.parametrize("family", MIXING)
def test_models_whose_layers_are_not_told_where_documents_begin_are_refused(family):
    """When one of these passes, transformers has mended it: take it out of schemas.facts."""
    attention, words = MIXING[family]
    register()
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**SIZES, "num_hidden_layers": 4}, num_key_value_heads=2, num_experts=4)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    with pytest.raises(AttentionError, match=words):
        require_apart(model, torch.device("cpu"))


def test_a_run_whose_documents_would_see_each_other_says_so_and_stops(tmp_path, ground, capsys):
    """A family that nobody has read of yet, as it would be with other code on the hub."""
    tokenizer = AutoTokenizer.from_pretrained(ground.base)
    sizes = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": 256}
    config = AutoConfig.for_model("stablelm", **sizes, num_key_value_heads=4)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    told = {"method": lora(target_modules=("q_proj", "v_proj")), "data": {"packing": True, "validation": None}}
    made = make_plan(tmp_path / "base", source(ground.rows), tmp_path / "out", **told)
    assert train_here(made, tmp_path / "artifact") == 1
    said = capsys.readouterr().err
    assert "documents in one row see each other" in said and "packing: false" in said


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", CONFIGS)
def test_the_kernel_of_cuda_is_as_exact(name):
    lengths = [700, 3, 129, 64, 1, 512]
    exact = alone(made(name, "sdpa", "cuda"), packed(lengths, "cuda"), lengths)
    kernel = answers(made(name, DOCUMENTS, "cuda", torch.bfloat16), packed(lengths, "cuda"))
    plain = alone(made(name, "sdpa", "cuda", torch.bfloat16), packed(lengths, "cuda"), lengths)
    # No further from float32 than bfloat16 is anyway.
    for one, other, best in zip([kernel[0], *kernel[1]], [plain[0], *plain[1]], [exact[0], *exact[1]], strict=True):
        lost = (other.float() - best).norm()
        assert (one.float() - best).norm() <= 2 * lost + 1e-2 * best.norm()
