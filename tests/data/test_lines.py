"""Rendered lines of text."""

import torch


def test_lines_are_the_same_every_time_and_the_seed_moves_none_into_the_test_split(few):
    one, other = few
    for name in ("train", "test"):
        for mine, yours in zip(one.splits[name].content, other.splits[name].content, strict=True):
            assert torch.equal(mine, yours)
    assert not torch.equal(one.search.content[0], other.search.content[0])
    everything = torch.cat([split.content[0].flatten(1) for split in one.splits.values()])
    assert len(everything.unique(dim=0)) == len(everything) == 80


def test_lines_hold_what_they_say(few):
    images, texts = few[0].train.content
    assert images.dtype == torch.uint8 and images.shape[1:] == (1, 32, 128)
    lengths = (texts > 0).sum(1)
    assert 3 <= int(lengths.min()) and int(lengths.max()) <= 7 and int(texts.max()) <= 62
    paper = images.flatten(1).float().median(1).values
    inked = ((images.float() - paper[:, None, None, None]).abs() > 60).flatten(1).float().mean(1)
    long, short = inked[lengths >= 6].mean(), inked[lengths <= 4].mean()
    assert long > 1.3 * short, "longer texts take more ink"
