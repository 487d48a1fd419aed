"""Padding counts nowhere: more of it changes nothing."""

import pytest
import torch

import autoprune
from autoprune.data import Split
from autoprune.data.named_task import resolve_task
from autoprune.networks.batches import Batches
from autoprune.networks.execution import Form, forward
from autoprune.networks.padding import padded, rows_of, tokens_in
from autoprune.networks.score import measure
from autoprune.ranking.branch_effects import mean_values
from autoprune.ranking.consumers import find_consumers
from autoprune.ranking.gram import collect
from autoprune.ranking.rank import rank
from autoprune.ranking.reconstruction import Reconstruction
from autoprune.ranking.sensitivity import sensitivities
from autoprune.structure.slicing import Slicer
from autoprune.training.matching import Matching, points
from tests.real.stubs import declare

transformers = pytest.importorskip("transformers", reason="pip install transformers")
declare()

COUNT, LONGEST = 12, 8


def bert():
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            **dict(vocab_size=64, hidden_size=24, num_hidden_layers=1, num_attention_heads=4),
            **dict(intermediate_size=32, max_position_embeddings=32, num_labels=3),
        )
    ).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.2 * torch.randn(parameter.shape))
    return model


def texts(padding, kind):
    """Texts of 3 to 8 tokens, padded to 8 and further."""
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(3, LONGEST + 1, (COUNT, 1), generator=draw)
    ids = torch.randint(3, 64, (COUNT, LONGEST), generator=draw)
    ids = torch.cat([ids, torch.zeros(COUNT, padding).long()], 1)
    mask = (torch.arange(ids.shape[1]) < lengths).long()
    labels = torch.randint(0, 3, (COUNT,), generator=draw)
    tokens = ids % 3
    content = {"input_ids": ids * mask, "attention_mask": mask}
    return Split(content | {"labels": labels if kind == "classification" else tokens})


def setting(kind="classification"):
    model = bert() if kind == "classification" else token_bert()
    split = texts(0, kind)
    task = resolve_task(kind)
    structure = autoprune.analyze(model, task.inputs(next(split.batches(2)))[1])
    return model, structure, task


def token_bert():
    inner = bert()
    model = transformers.BertForTokenClassification(inner.config).eval()
    model.bert.load_state_dict(inner.bert.state_dict(), strict=False)
    return model


@pytest.mark.parametrize("kind", ["classification", "token-classification"])
def test_scores_and_losses(kind):
    model, _, task = setting(kind)
    one, other = (measure(model, texts(padding, kind), task) for padding in (0, 5))
    assert one.score == other.score and one.loss == pytest.approx(other.loss, rel=1e-5)


def test_gram_matrices_are_those_of_the_tokens_alone():
    model, structure, task = setting()
    consumers = find_consumers(model, structure)
    assert len(consumers) > 4
    found = [collect(model, consumers, task, texts(padding, task.name)) for padding in (0, 5)]
    ids, mask, _ = texts(0, task.name).content.values()
    alone: dict[str, list[torch.Tensor]] = {}
    names = {module: path for path, module in model.named_modules()}
    hooks = [
        module.register_forward_pre_hook(
            lambda module, args: alone.setdefault(names[module] + ".weight", []).append(
                args[0].flatten(0, -2)
            )
        )
        for module in model.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    with torch.no_grad():
        for row, there in zip(ids, mask, strict=True):
            model(row[there == 1][None])
    for hook in hooks:
        hook.remove()
    for one, other in zip(*found, strict=True):
        rows = torch.cat(alone[one.consumer.tensor]).double()[:, one.consumer.columns]
        rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
        assert torch.allclose(one.gram.double(), rows.T @ rows / len(rows), rtol=1e-4, atol=1e-5)
        assert torch.allclose(one.gram, other.gram, rtol=1e-4, atol=1e-5)


def test_sensitivities_and_what_branches_leave():
    model, structure, task = setting()
    consumers = find_consumers(model, structure)
    halves = {
        consumer.tensor: consumer.weight * (torch.arange(consumer.weight.shape[1]) % 2)
        for consumer in consumers
    }
    for repaired in ({}, halves):
        one, other = (
            sensitivities(model, consumers, repaired, task, texts(padding, task.name))
            for padding in (0, 5)
        )
        assert one == pytest.approx(other, rel=1e-3) and len(set(one.values())) > 1
    means = [
        mean_values(
            model,
            structure.branches,
            task,
            Batches(texts(padding, task.name), 4, model, Form()),
        )
        for padding in (0, 5)
    ]
    assert structure.branches
    for name, value in means[0].items():
        assert torch.allclose(value, means[1][name], atol=1e-5)


def test_the_fit_layer_after_layer_and_matching():
    model, structure, task = setting()
    plan = autoprune.Plan.uniform(structure, 0.5)
    kept = rank(model, structure, "l1").kept(plan)
    slicer, nets, losses = Slicer(model, structure), [], []
    for padding in (0, 5):
        split = texts(padding, task.name)
        net = Reconstruction(model, slicer, task, split)(kept, {})
        nets.append(net)
        places = points(structure, slicer, kept, net)
        assert places
        batches = Batches(split, 4, model, Form())
        losses.append(Matching(model, task, places).mean(nets[0], batches))
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] > 0


def test_values_of_other_forms_are_left_alone():
    model, _, task = setting()
    batch = next(texts(0, task.name).batches(4))
    there = batch["attention_mask"] == 1
    seen = []
    hook = model.bert.encoder.register_forward_pre_hook(lambda *_: seen.append(True))
    model.bert.register_forward_hook(
        lambda *_: seen.extend([
            rows_of(torch.ones(4, LONGEST, 6)).shape[0] == int(there.sum()),
            rows_of(torch.ones(4 * LONGEST, 6)).shape[0] == int(there.sum()),
            rows_of(torch.ones(4, 6)).shape[0] == 4,
            tokens_in(torch.ones(4, 3, 6)) is None,
        ])
    )  # fmt: skip
    forward(model, task, batch)
    hook.remove()
    assert len(seen) == 5 and all(seen)
    assert tokens_in(torch.ones(4, LONGEST, 6)) is None  # no batch is run any more


def test_encoder_and_decoder_have_padding_of_their_own():
    first = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    second = torch.tensor([[1, 1, 0], [1, 0, 0]])
    with padded({"attention_mask": first, "decoder_attention_mask": second}):
        assert len(rows_of(torch.ones(2, 4, 5))) == 5 and len(rows_of(torch.ones(2, 3, 5))) == 3
        assert len(rows_of(torch.ones(6, 5))) == 3 and len(rows_of(torch.ones(8, 5))) == 5
        assert tokens_in(torch.ones(2, 6, 5)) is None
    other = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1]])  # no value tells whose it is
    with padded({"attention_mask": first, "decoder_attention_mask": other}):
        assert tokens_in(torch.ones(2, 4, 5)).tolist() == ((first * other) == 1).tolist()
    with padded({"attention_mask": first, "decoder_attention_mask": torch.ones(2, 3)}):
        assert tokens_in(torch.ones(2, 3, 5)) is None
