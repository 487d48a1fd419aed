"""Language and speech networks of transformers: small configurations, random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.real.network import Network, tokens
from tests.real.stubs import declare

declare()
import transformers  # noqa: E402  it imports torchvision, which needs the stand-ins


def _build(kind: str, head: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        config = getattr(transformers, f"{kind}Config")(
            pad_token_id=0, bos_token_id=1, eos_token_id=2, **options
        )
        if hasattr(config, "use_cache"):
            config.use_cache = False
        return getattr(transformers, head)(config)

    return build


def _net(kind: str, head: str, inputs: Any = None, **options: Any) -> Network:
    build = _build(kind, head, **options)
    return Network(f"transformers:{head}", build, inputs or tokens(), outputs=("logits",))


BERT: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96, "max_position_embeddings": 32, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
LLAMA: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 96, "max_position_embeddings": 32,
}  # fmt: skip
CAUSAL = tokens(use_cache=False)
BOTH = tokens(decoder_input_ids=lambda: torch.randint(3, 60, (2, 7)), use_cache=False)
WHISPER: dict[str, Any] = {
    "vocab_size": 64, "num_mel_bins": 8, "d_model": 48, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96, "max_source_positions": 16, "max_target_positions": 16, "dropout": 0.0,
    "decoder_start_token_id": 1,
}  # fmt: skip


def _sound() -> dict[str, Any]:
    return {
        "input_features": torch.randn(2, 8, 32),
        "decoder_input_ids": torch.randint(3, 60, (2, 7)),
        "use_cache": False,
    }


def _wave() -> dict[str, Any]:
    return {"input_values": torch.randn(2, 800)}


NETWORKS = [
    _net("Bert", "BertForSequenceClassification", **BERT),
    _net("Roberta", "RobertaForSequenceClassification", **BERT),
    _net("DistilBert", "DistilBertForSequenceClassification", vocab_size=64, dim=48, n_layers=2,
         n_heads=4, hidden_dim=96, max_position_embeddings=32, dropout=0.0, attention_dropout=0.0),
    _net("Electra", "ElectraForSequenceClassification", **BERT, embedding_size=24),
    _net("Albert", "AlbertForSequenceClassification", **BERT, embedding_size=24),
    _net("DebertaV2", "DebertaV2ForSequenceClassification", **BERT),
    _net("GPT2", "GPT2LMHeadModel", CAUSAL, vocab_size=64, n_embd=48, n_layer=2, n_head=4,
         n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
    _net("GPTNeoX", "GPTNeoXForCausalLM", CAUSAL, **BERT),
    _net("OPT", "OPTForCausalLM", CAUSAL, vocab_size=64, hidden_size=48, num_hidden_layers=2,
         ffn_dim=96, num_attention_heads=4, max_position_embeddings=32, dropout=0.0,
         word_embed_proj_dim=48),
    _net("Bloom", "BloomForCausalLM", CAUSAL, vocab_size=64, hidden_size=48, n_layer=2, n_head=4),
    _net("Llama", "LlamaForCausalLM", CAUSAL, **LLAMA),
    _net("Mistral", "MistralForCausalLM", CAUSAL, **LLAMA),
    _net("Qwen2", "Qwen2ForCausalLM", CAUSAL, **LLAMA),
    _net("Qwen3", "Qwen3ForCausalLM", CAUSAL, **LLAMA, head_dim=12),
    _net("Gemma", "GemmaForCausalLM", CAUSAL, **LLAMA, head_dim=12),
    _net("Phi", "PhiForCausalLM", CAUSAL, **LLAMA),
    _net("Mixtral", "MixtralForCausalLM", CAUSAL, **LLAMA, num_local_experts=4),
    _net("Mamba", "MambaForCausalLM", CAUSAL, vocab_size=64, hidden_size=32, num_hidden_layers=2,
         state_size=4),
    _net("T5", "T5ForConditionalGeneration", BOTH, vocab_size=64, d_model=48, d_kv=12, d_ff=96,
         num_layers=2, num_heads=4, dropout_rate=0.0, decoder_start_token_id=0),
    _net("Bart", "BartForConditionalGeneration", BOTH, vocab_size=64, d_model=48, encoder_layers=2,
         decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
         encoder_ffn_dim=96, decoder_ffn_dim=96, max_position_embeddings=32, dropout=0.0,
         decoder_start_token_id=1, forced_eos_token_id=2),
    _net("Whisper", "WhisperForConditionalGeneration", _sound, **WHISPER),
    _net("Wav2Vec2", "Wav2Vec2ForCTC", _wave, vocab_size=64, hidden_size=48, num_hidden_layers=2,
         num_attention_heads=4, intermediate_size=96, conv_dim=(16, 16, 16), conv_stride=(5, 2, 2),
         conv_kernel=(10, 3, 3), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
         hidden_dropout=0.0, attention_dropout=0.0, feat_proj_dropout=0.0, layerdrop=0.0,
         final_dropout=0.0, mask_time_prob=0.0),
]  # fmt: skip
