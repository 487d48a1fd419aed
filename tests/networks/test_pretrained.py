"""Pruned models of transformers, saved: opened by the library alone, or by ours."""

import json

import pytest
import torch

import autoprune
from autoprune.errors import AutopruneError, DamagedError, UsageError
from autoprune.networks import pretrained
from autoprune.networks.hugging_face import load_pretrained
from autoprune.networks.pretrained import from_pretrained, save_pretrained
from autoprune.structure.depth import deepened, settled
from tests.real.stubs import declare

transformers = pytest.importorskip("transformers", reason="pip install transformers")
declare()  # it imports torchvision where it is

IDS = torch.tensor([[5, 9, 14, 7, 30, 8, 11], [6, 4, 4, 33, 21, 12, 40]])
INPUTS = {"input_ids": IDS}


def gpt2():
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            **dict(vocab_size=64, n_embd=48, n_layer=3, n_head=4, n_positions=32, use_cache=False),
            **dict(bos_token_id=1, eos_token_id=2, pad_token_id=0),
        )
    )


def llama():
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            **dict(vocab_size=64, hidden_size=48, num_hidden_layers=3, num_attention_heads=4),
            **dict(num_key_value_heads=2, intermediate_size=96, max_position_embeddings=32),
            **dict(bos_token_id=1, eos_token_id=2, pad_token_id=0, use_cache=False),
        )
    )


def pruned(make, keep=None, gone=()):
    """Prune a fresh model: ``keep`` units by the ends of names of groups, ``gone`` branches."""
    torch.manual_seed(0)
    model = make().eval()
    for parameter in model.parameters():  # biases that are not zero, attention that is not even
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    structure = autoprune.analyze(model, INPUTS, outputs=("logits",))
    if gone:
        structure = deepened(structure)
    counts = {group.name: group.size for group in structure.groups}
    for name in counts:
        ends = [end for end in keep or () if name.endswith(end)]
        counts[name] = keep[ends[0]] if ends else counts[name]
    counts |= dict.fromkeys(gone, 0)
    return autoprune.prune(model, structure, autoprune.Plan.of(settled(structure, counts)))


def logits(model):
    with torch.no_grad():
        return model.eval()(**INPUTS).logits


def generated(model, **options):
    """Continue two prompts of different lengths, the shorter one padded on its left."""
    ids = IDS.clone()
    ids[1, :3] = 0
    mask = (ids != 0).long()
    found = model.generate(
        ids, attention_mask=mask, max_new_tokens=8, do_sample=False, min_new_tokens=8, **options
    )
    assert found.shape == (2, 15)
    return found


EVEN = [
    (gpt2, {"wte": 24, "c_attn": 2, "c_fc": 50}, {"n_embd": 24, "n_head": 2, "n_inner": 50}),
    (
        llama,
        {"embed_tokens": 20, "q_proj": 1, "gate_proj": 40},
        {"hidden_size": 20, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 12},
    ),
]


@pytest.mark.parametrize(("make", "keep", "wanted"), EVEN)
def test_even_widths_open_with_transformers_alone(make, keep, wanted, tmp_path, capfd):
    small = pruned(make, keep)
    saved = save_pretrained(small, tmp_path / "new", example_inputs=INPUTS)
    assert saved.plain and f"{type(small).__name__}.from_pretrained" in str(saved)
    assert capfd.readouterr() == ("", "")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "new")
    assert {name: again.config.to_dict()[name] for name in wanted} == wanted
    assert torch.allclose(logits(again), logits(small), atol=1e-6)
    assert not list((tmp_path / "new").glob("*.bin")) and again.config.use_cache
    assert torch.equal(generated(again), generated(small, use_cache=False))
    assert torch.equal(generated(again), generated(again, use_cache=False))


@pytest.mark.parametrize(
    ("make", "keep", "why"),
    [
        (gpt2, {"0.mlp.c_fc": 50}, "n_inner is 50 in transformer.h.0"),
        (gpt2, {"wte": 24}, "n_embd is 24 in transformer.wte"),
        (llama, {"0.self_attn.q_proj": 1, "wte": 20}, "num_attention_heads is 2 in model.layers.0"),
    ],
)
def test_uneven_widths_open_with_ours_and_not_as_something_else(make, keep, why, tmp_path):
    small = pruned(make, keep)
    place = tmp_path / "new"
    saved = save_pretrained(small, place, example_inputs=INPUTS)
    assert not saved.plain and why in str(saved) and "autoprune.from_pretrained" in str(saved)
    with pytest.raises(OSError, match=r"model\.safetensors"):
        type(small).from_pretrained(place)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = from_pretrained(place)
    assert torch.equal(before, torch.get_rng_state())
    assert type(again) is type(small) and torch.equal(logits(again), logits(small))
    assert torch.equal(generated(again), generated(small, use_cache=False))
    assert torch.equal(generated(again), generated(again, use_cache=False))
    twice = save_pretrained(again, tmp_path / "twice", example_inputs=INPUTS)
    assert not twice.plain


def block(make, place):
    """Both branches of a block."""
    return (
        (f"transformer.h.{place}.attn", f"transformer.h.{place}.mlp")
        if make is gpt2
        else (f"model.layers.{place}.self_attn", f"model.layers.{place}.mlp")
    )


def with_constants(model):
    """Let branches that are gone leave something else than zero."""
    for name, parameter in model.named_parameters():
        if name.endswith("constant"):
            parameter.data.normal_()
    return model


def test_whole_blocks_that_are_gone_are_fewer_layers(tmp_path):
    small = with_constants(pruned(gpt2, {"c_fc": 40}, block(gpt2, 1)))
    saved = save_pretrained(small, tmp_path / "gpt2", example_inputs=INPUTS)
    assert saved.plain
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2")
    assert again.config.n_layer == 2 and torch.allclose(logits(again), logits(small), atol=1e-5)
    small = pruned(llama, {}, block(llama, 0))
    assert save_pretrained(small, tmp_path / "llama", example_inputs=INPUTS).plain
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "llama")
    assert again.config.num_hidden_layers == 2


@pytest.mark.parametrize(
    ("make", "gone", "why"),
    [
        (gpt2, block(gpt2, 0), "transformer.h.0 leaves a constant, and no bias takes it up"),
        (llama, block(llama, 1), "model.layers.1 leaves a constant, and no bias takes it up"),
        (llama, block(llama, 0)[:1], "is gone, its block is not"),
        (gpt2, block(gpt2, 1)[1:], "is gone, its block is not"),
    ],
)
def test_other_branches_that_are_gone_open_with_ours_and_keep_the_cache(make, gone, why, tmp_path):
    small = with_constants(pruned(make, {}, gone))
    saved = save_pretrained(small, tmp_path / "new", example_inputs=INPUTS)
    assert not saved.plain and why in saved.why
    again = from_pretrained(tmp_path / "new")
    assert torch.equal(logits(again), logits(small))
    assert torch.equal(generated(again, use_cache=True), generated(again, use_cache=False))


@pytest.mark.filterwarnings("ignore")  # those of the Trainer are its own
@pytest.mark.parametrize("keep", [{"c_fc": 40}, {"0.mlp.c_fc": 40}])
def test_training_goes_on(keep, tmp_path):
    save_pretrained(pruned(gpt2, keep), tmp_path / "new", example_inputs=INPUTS)
    model = from_pretrained(tmp_path / "new")
    rows = [{"input_ids": ids, "labels": ids} for ids in IDS.repeat(4, 1)]
    options = transformers.TrainingArguments(
        **dict(output_dir=str(tmp_path / "out"), max_steps=6, per_device_train_batch_size=4),
        **dict(learning_rate=1e-2, use_cpu=True, report_to=[], save_strategy="no"),
        **dict(disable_tqdm=True),
    )
    first = float(model(IDS, labels=IDS).loss)
    transformers.Trainer(model, options, train_dataset=rows).train()
    assert float(model.eval()(IDS, labels=IDS).loss.detach()) < 0.8 * first
    trained = save_pretrained(model, tmp_path / "trained", example_inputs=INPUTS)
    assert torch.allclose(logits(from_pretrained(trained.path)), logits(model), atol=1e-6)


def test_the_tokenizer_lies_beside(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    inner = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 5, "fox": 9}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
    tokenizer.save_pretrained(tmp_path / "words")
    small = pruned(gpt2, {"c_fc": 40})
    for name, given in (("a", tmp_path / "words"), ("b", tokenizer)):
        save_pretrained(small, tmp_path / name, example_inputs=INPUTS, tokenizer=given)
        again = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
        assert again("fox red")["input_ids"] == [9, 5]


def test_what_cannot_be_saved_or_opened_is_said_in_a_line(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="Linear is no model of transformers"):
        save_pretrained(torch.nn.Linear(2, 2), tmp_path / "x", example_inputs=IDS)
    small = pruned(gpt2, {"0.mlp.c_fc": 50})
    place = tmp_path / "new"
    save_pretrained(small, place, example_inputs=INPUTS)
    with pytest.raises(UsageError, match="is not empty"):
        save_pretrained(small, place, example_inputs=INPUTS)
    described = json.loads((place / "autoprune.json").read_text())
    described["indices"][0][2] = [10**6]
    (place / "autoprune.json").write_text(json.dumps(described))
    with pytest.raises(DamagedError, match="does not fit the network"):
        from_pretrained(place)
    (place / "autoprune.json").write_text("[]")
    with pytest.raises(DamagedError, match="format this version does not know"):
        from_pretrained(place)
    with pytest.raises(UsageError, match="no directory nowhere"):
        from_pretrained("nowhere")
    monkeypatch.setattr(pretrained, "write_tensors", lambda path, tensors: path.touch())
    with pytest.raises(AutopruneError):
        save_pretrained(small, tmp_path / "broken", example_inputs=INPUTS)
    assert not (tmp_path / "broken").exists()


def test_a_model_that_was_not_pruned_is_saved_as_it_is(tmp_path):
    model = pruned(llama)
    assert save_pretrained(model, tmp_path / "new", example_inputs=INPUTS).plain
    assert torch.equal(logits(from_pretrained(tmp_path / "new")), logits(model))


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_encoder_decoders_speak_on_with_and_without_their_cache(kind, tmp_path):
    torch.manual_seed(0)
    both = dict.fromkeys(("encoder_layers", "decoder_layers"), 1)
    both |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4)
    both |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48)
    shared = {"vocab_size": 64, "d_model": 24, "decoder_start_token_id": 0, "eos_token_id": 2}
    if kind == "t5":
        model = transformers.T5ForConditionalGeneration(
            transformers.T5Config(**shared, d_kv=6, d_ff=48, num_layers=1, num_heads=4)
        )
    else:
        model = transformers.BartForConditionalGeneration(
            transformers.BartConfig(**shared, **both, forced_eos_token_id=None, pad_token_id=0)
        )
    model.save_pretrained(tmp_path / "dense")
    model = load_pretrained(str(tmp_path / "dense"), {})
    inputs = {"input_ids": IDS, "decoder_input_ids": IDS[:, :4]}
    structure = autoprune.analyze(model, inputs, outputs=("logits",))
    small = autoprune.prune(model, structure, autoprune.Plan.uniform(structure, 0.5)).eval()
    save_pretrained(small, tmp_path / "small", example_inputs=inputs)
    again = from_pretrained(tmp_path / "small")
    assert [one.shape for one in again.parameters()] == [one.shape for one in small.parameters()]
    assert again.num_parameters() < 0.7 * model.num_parameters()
    said = [again.generate(IDS, max_new_tokens=6, use_cache=cache) for cache in (True, False)]
    assert torch.equal(*said) and said[0].shape[1] > 2
