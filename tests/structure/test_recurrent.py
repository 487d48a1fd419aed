"""Recurrent networks: states handed from encoder to decoder, learned states, packed sequences."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import autoprune
from autoprune.structure.plan import Plan

SOURCE, TARGET = torch.randint(0, 20, (2, 7)), torch.randint(0, 20, (2, 5))
LENGTHS = torch.tensor([4, 7])


class EncoderDecoder(nn.Module):
    def __init__(self, kind, bridge=False, **options):
        super().__init__()
        self.embed = nn.Embedding(20, 12)
        self.encoder = kind(12, 16, batch_first=True, **options)
        width = 24 if bridge else 16
        self.bridge = nn.Linear(16, 24) if bridge else nn.Identity()
        self.decoder = kind(12, width, batch_first=True, **options)
        self.out = nn.Linear(width, 5)

    def forward(self, source, target):
        _, state = self.encoder(self.embed(source))
        outputs, _ = self.decoder(self.embed(target), self.bridge(state))
        return self.out(outputs)


class Learned(nn.Module):
    """The initial state is a parameter."""

    def __init__(self, cells=False):
        super().__init__()
        self.state = nn.Parameter(torch.randn(1, 16))
        self.layer = nn.GRUCell(12, 16) if cells else nn.GRU(12, 16, batch_first=True)
        self.out = nn.Linear(16, 5)

    def forward(self, x):
        state = self.state.expand(len(x), -1)
        if isinstance(self.layer, nn.GRU):
            return self.out(self.layer(x, state[None].contiguous())[0])
        for step in x.unbind(1):
            state = self.layer(step, state)
        return self.out(state)


class Packed(nn.Module):
    """Reads sequences of several lengths; what it returns depends on where they end."""

    def __init__(self, *, batch_first=True, pool=False):
        super().__init__()
        self.first, self.pool = batch_first, pool
        self.embed = nn.Embedding(20, 12)
        self.encoder = nn.LSTM(12, 16, num_layers=2, bidirectional=True, batch_first=batch_first)
        self.out = nn.Linear(32, 5)

    def forward(self, source, lengths):
        value = self.embed(source if self.first else source.T)
        packed = pack_padded_sequence(value, lengths, self.first, enforce_sorted=False)
        outputs, (state, _) = self.encoder(packed)
        if not self.pool:
            return self.out(torch.cat((state[-2], state[-1]), 1))
        padded, count = pad_packed_sequence(outputs, self.first, total_length=source.shape[1])
        return self.out(padded.sum(1 if self.first else 0) / count[:, None])


class Listed(nn.Module):
    """Packs a list of sequences, with names that were imported before anything is traced."""

    def __init__(self):
        super().__init__()
        self.encoder, self.out = nn.GRU(12, 16), nn.Linear(16, 5)

    def forward(self, x):
        _, state = self.encoder(pack_sequence([x[0], x[1, :3]]))
        return self.out(state[0])


@pytest.mark.parametrize(
    ("model", "inputs", "units"),
    [
        (EncoderDecoder(nn.GRU), (SOURCE, TARGET), {"embed": 12, "encoder": 16}),
        (EncoderDecoder(nn.LSTM), (SOURCE, TARGET), {"embed": 12, "encoder": 16}),
        (EncoderDecoder(nn.RNN, num_layers=2), (SOURCE, TARGET), {"embed": 12, "encoder": 16}),
        (
            EncoderDecoder(nn.GRU, bridge=True),
            (SOURCE, TARGET),
            {"embed": 12, "encoder": 16, "bridge": 24},
        ),
        (Learned(), torch.randn(2, 3, 12), {"layer": 16}),
        (Learned(cells=True), torch.randn(2, 3, 12), {"layer": 16}),
        (Packed(), (SOURCE, LENGTHS), {"embed": 12, "encoder": 16}),
        (Packed(pool=True), (SOURCE, LENGTHS), {"embed": 12, "encoder": 16}),
        (Packed(batch_first=False, pool=True), (SOURCE, LENGTHS), {"embed": 12, "encoder": 16}),
        (Listed(), torch.randn(2, 5, 12), {"encoder": 16}),
    ],
)
def test_hidden_units_go_with_the_states_that_are_handed_over(model, inputs, units):
    structure = autoprune.analyze(model.eval(), inputs)
    assert dict(structure.sizes) == units
    plan = Plan.uniform(structure, 0.5)
    compact = autoprune.prune(model, structure, plan)
    masked = autoprune.mask(model, structure, plan)
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    torch.testing.assert_close(compact(*given), masked(*given))
    assert sum(p.numel() for p in compact.parameters()) < 0.5 * sum(
        p.numel() for p in model.parameters()
    )


def test_a_state_that_the_caller_gives_stays():
    class Streaming(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = nn.GRU(12, 16, batch_first=True), nn.Linear(16, 5)

        def forward(self, x, state):
            outputs, state = self.layer(x, state)
            return self.out(outputs), state

    inputs = (torch.randn(2, 5, 12), torch.randn(1, 2, 16))
    structure = autoprune.analyze(Streaming().eval(), inputs)
    assert not structure.groups
    assert "model input state" in {pin.reason for pin in structure.pinned}


def test_packing_is_as_it_was_after_an_analysis():
    autoprune.analyze(Packed().eval(), (SOURCE, LENGTHS))
    packed = pack_padded_sequence(torch.randn(2, 7, 3), LENGTHS.flip(0), True)
    assert packed.data.shape == (11, 3)
    assert packed.batch_sizes.tolist() == [2, 2, 2, 2, 1, 1, 1]
