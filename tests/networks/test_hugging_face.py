"""Models of transformers from a directory: loaded, searched, and refused."""

import json

import pytest
import torch

from autoprune.cli.main import main
from autoprune.data import load_data
from autoprune.data.causal_lm import CausalLanguageModeling
from autoprune.data.tokenizers import load_tokenizer
from autoprune.errors import UsageError
from autoprune.networks.compatibility import check_compatible
from autoprune.networks.hugging_face import load_pretrained
from autoprune.networks.save import load
from tests.real.stubs import declare

pytest.importorskip("transformers", reason="pip install transformers")
declare()  # it imports torchvision where it is


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
    )
    place = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(place)
    return place


def test_a_directory_is_loaded_with_its_weights_and_without_its_cache(llama, capfd):
    model = load_pretrained(str(llama), {})
    assert type(model).__name__ == "LlamaForCausalLM" and not model.training
    assert model.config.use_cache is False
    assert capfd.readouterr() == ("", "")
    again = load_pretrained(str(llama), {"head": "sequence-classification"})
    first = "model.embed_tokens.weight"
    assert torch.equal(model.state_dict()[first], again.state_dict()[first])


def test_a_language_model_is_pruned_from_text_and_loaded_again(llama, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_bytes(b"the quick brown fox jumps over the lazy dog. " * 90)
    words = f"search --model hf:{llama} --task causal-lm --budget 0.6flops --agent uniform"
    words += f" --data text:{text},length=16,tokenizer=bytes --evaluations 1 --finetune-epochs 1"
    words += f" --no-baseline --run {tmp_path / 'run'}"
    assert main(words.split()) == 0
    shown = capsys.readouterr().out
    assert "1 / perplexity, test split" in shown and "perplexity, uniform" in shown
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    dense, tuned = found["base"], found["recovered"]
    assert tuned["macs"] <= 0.6 * dense["macs"]
    assert dense["other"]["perplexity"] == pytest.approx(1 / dense["accuracy"])
    assert tuned["other"]["perplexity"] < dense["other"]["perplexity"]  # it had random weights
    small = load(tmp_path / "run")
    ids = torch.arange(12)[None]
    assert small.generate(ids, max_new_tokens=3, use_cache=False).shape == (1, 15)
    words = f"export --run {tmp_path / 'run'} --to transformers"
    assert main(words.split()) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "opens with transformers alone: LlamaForCausalLM.from_pretrained" in shown
    from transformers import AutoModelForCausalLM

    again = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "transformers")
    with torch.no_grad():
        assert torch.equal(again(ids).logits, small(ids).logits)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", '{"auto_map": {}}', "needs code of its own"),
        ("config.json", '{"quantization_config": {}}', "is quantized"),
        ("config.json", '{"compression_config": {}}', "is quantized"),
        ("config.json", '{"architectures": ["os"]}', "does not say what it ends in"),
        ("config.json", '{"architectures": ["AutoTokenizer"]}', "does not say what it ends in"),
        ("config.json", '{"architectures": 3}', "does not say what it ends in"),
        ("config.json", '{"model_type": "llama"}', "does not say what it ends in"),
        ("config.json", "[]", "no configuration of a model"),
        ("adapter_config.json", "{}", "holds an adapter"),
        ("adapter_model.safetensors", "", "holds an adapter"),
        ("model.gguf", "", "config.json is missing"),
        ("other", "", "config.json is missing"),
    ],
)
def test_what_cannot_be_pruned_is_refused_in_a_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=said):
        load_pretrained(str(tmp_path), {})


def test_names_of_the_hub_unknown_heads_and_missing_weights(llama, tmp_path):
    with pytest.raises(UsageError, match="no directory meta/llama"):
        load_pretrained("meta/llama", {})
    with pytest.raises(UsageError, match="no head 'crown'"):
        load_pretrained(str(llama), {"head": "crown"})
    with pytest.raises(UsageError, match="no option 'width'"):
        load_pretrained(str(llama), {"width": 3})
    (tmp_path / "config.json").write_text((llama / "config.json").read_text())
    with pytest.raises(UsageError, match="cannot be loaded") as caught:
        load_pretrained(str(tmp_path), {})
    assert "\n" not in str(caught.value)
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    with pytest.raises(UsageError, match="holds pickled weights, which are not loaded"):
        load_pretrained(str(tmp_path), {})


def test_a_tokenizer_that_needs_code_of_its_own_is_refused(tmp_path):
    (tmp_path / "words.py").write_text("raise SystemExit('this code was run')")
    told = {"auto_map": {"AutoTokenizer": ["words.Words", None]}, "tokenizer_class": "Words"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match="no tokenizer in") as caught:
        load_tokenizer(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "dtype", "said"),
    [
        ("other", torch.uint8, "is uint8: it is quantized"),
        ("lora_A", torch.float32, "an adapter's"),
    ],
)
def test_models_from_python_with_adapters_or_quantized_weights(llama, tmp_path, name, dtype, said):
    model = load_pretrained(str(llama), {})
    held = torch.nn.Parameter(torch.ones(2, 2).to(dtype), requires_grad=False)
    model.model.layers[0].self_attn.q_proj.register_parameter(name, held)
    text = tmp_path / "text.txt"
    text.write_bytes(b"some text " * 200)
    data = load_data(f"text:{text},length=16")
    with pytest.raises(UsageError, match=said):
        check_compatible(model, data, CausalLanguageModeling())


def test_text_for_a_model_with_a_tokenizer_must_name_one(llama, tmp_path, capsys):
    words = f"search --budget 0.6flops --model hf:{llama} --task causal-lm --data text:x"
    (tmp_path / "x").write_bytes(b"some text " * 900)
    assert main([*words.replace("text:x", f"text:{tmp_path / 'x'}").split()]) == 2
    assert "tokenizer=DIRECTORY" in capsys.readouterr().err
