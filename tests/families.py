"""Architecture families: a network of each, with the groups and pins it must have."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from autoprune.structure import Structure
from autoprune.structure.graph import call, slow_attention


def conv(i: int, o: int, k: int = 3, **kw: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2, bias=False, **kw), nn.BatchNorm2d(o))


class Net(nn.Module):
    """A network given by its modules and a forward function."""

    def __init__(self, forward: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *args: object, **kwargs: object) -> object:
        return self.function(self, *args, **kwargs)


@dataclass
class Family:
    """A network, its inputs, the group sizes expected, and words a pin reason must hold."""

    build: Callable[[], nn.Module]
    sizes: tuple[int, ...]
    inputs: Callable[[], object] = lambda: torch.randn(2, 3, 8, 8)
    pinned: str = ""
    renormalized: bool = False


def residual_conv() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.relu(m.stem(x))
        x = F.relu(m.short(x) + m.b(F.relu(m.a(x))))
        x = F.relu(x + m.d(F.relu(m.c(x))))
        return m.head(x.mean((2, 3)))

    return Net(
        forward,
        stem=conv(3, 8),
        a=conv(8, 6, stride=2),
        b=conv(6, 12),
        short=conv(8, 12, 1, stride=2),
        c=conv(12, 10),
        d=conv(10, 12),
        head=nn.Linear(12, 4),
    )


def residual_zero_padding() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.relu(m.stem(x))
        y = m.b(F.relu(m.a(x)))
        x = F.relu(y + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)))
        return m.head(x.mean((2, 3)))

    return Net(
        forward, stem=conv(3, 8), a=conv(8, 6, stride=2), b=conv(6, 12), head=nn.Linear(12, 4)
    )


def residual_zero_concat() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.relu(m.stem(x))
        y = m.b(F.relu(m.a(x)))
        short = F.avg_pool2d(x, 2)
        x = F.relu(y + torch.cat([short, short.new_zeros(len(x), 4, *short.shape[2:])], 1))
        return m.head(x.mean((2, 3)))

    return Net(
        forward, stem=conv(3, 8), a=conv(8, 6, stride=2), b=conv(6, 12), head=nn.Linear(12, 4)
    )


def dense_concat() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        for layer in m.layers:
            x = torch.cat([x, layer(x)], 1)
        return m.head(F.relu(m.norm(x)).mean((2, 3)))

    def layer(i: int) -> nn.Module:
        return nn.Sequential(nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, 4, 3, padding=1))

    return Net(
        forward,
        stem=nn.Conv2d(3, 6, 3, padding=1),
        layers=nn.ModuleList([layer(6), layer(10), layer(14)]),
        norm=nn.BatchNorm2d(18),
        head=nn.Linear(18, 4),
    )


def inverted_residual() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        x = x + m.project(F.relu6(m.depth(F.relu6(m.expand(x)))))
        return m.head(x.mean((2, 3)))

    return Net(
        forward,
        stem=conv(3, 8),
        expand=conv(8, 24, 1),
        depth=conv(24, 24, groups=24),
        project=conv(24, 8, 1),
        head=nn.Linear(8, 4),
    )


def squeeze_excite() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        gate = torch.sigmoid(m.up(F.relu(m.down(F.adaptive_avg_pool2d(x, 1)))))
        return m.head((x * gate).mean((2, 3)))

    return Net(
        forward,
        stem=conv(3, 12),
        down=nn.Conv2d(12, 4, 1),
        up=nn.Conv2d(4, 12, 1),
        head=nn.Linear(12, 4),
    )


def channel_shuffle() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.grouped(m.stem(x))
        b, c, h, w = x.shape
        x = x.view(b, 3, c // 3, h, w).transpose(1, 2).reshape(b, c, h, w)
        return m.head(m.second(x).mean((2, 3)))

    return Net(
        forward,
        stem=conv(3, 12),
        grouped=conv(12, 12, groups=3),
        second=conv(12, 8),
        head=nn.Linear(8, 4),
    )


def chunk() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        a, b = m.stem(x).chunk(2, 1)
        return m.head((m.left(a) - 2 * m.right(b)).mean((2, 3)))

    return Net(forward, stem=conv(3, 16), left=conv(8, 6), right=conv(8, 6), head=nn.Linear(6, 4))


def dynamic_split() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        a, b = torch.split(x, x.shape[1] // 2, 1)
        return m.head((m.left(a) - 2 * m.right(b)).mean((2, 3)))

    return Net(forward, stem=conv(3, 16), left=conv(8, 6), right=conv(8, 6), head=nn.Linear(6, 4))


def constant_split() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        a, b = torch.split(m.stem(x), [8, 8], 1)
        return m.head((m.left(a) - 2 * m.right(b)).mean((2, 3)))

    return Net(forward, stem=conv(3, 16), left=conv(8, 6), right=conv(8, 6), head=nn.Linear(6, 4))


def dynamic_slice() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        half = x.shape[1] // 2
        return m.head((m.left(x[:, :half]) * m.right(x[:, half:])).mean((2, 3)))

    return Net(forward, stem=conv(3, 16), left=conv(8, 6), right=conv(8, 6), head=nn.Linear(6, 4))


def constant_slice() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        return m.head((m.left(x[:, :5]) + m.right(x)).mean((2, 3)))

    return Net(forward, stem=conv(3, 16), left=conv(5, 6), right=conv(16, 6), head=nn.Linear(6, 4))


def gated() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.head(F.glu(m.mid(F.glu(m.stem(x), 1)), 1).mean((2, 3)))

    return Net(forward, stem=conv(3, 16), mid=conv(8, 12), head=nn.Linear(6, 4))


def flatten() -> nn.Module:
    return nn.Sequential(
        conv(3, 8), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10), nn.ReLU(), nn.Linear(10, 4)
    )


def two_flattened() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        a, b = m.a(x).flatten(1), F.max_pool2d(m.b(x), 2).flatten(1)
        return m.out(F.relu(m.head(torch.cat([a, b], 1))))

    return Net(
        forward, a=conv(3, 4), b=conv(3, 6), head=nn.Linear(4 * 64 + 6 * 16, 8), out=nn.Linear(8, 3)
    )


def shared_module() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        for _ in range(3):
            x = F.relu(m.again(x))
        return m.head(x.mean((2, 3)))

    return Net(forward, stem=conv(3, 8), again=nn.Conv2d(8, 8, 3, padding=1), head=nn.Linear(8, 4))


class TiedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 16)
        self.a, self.b = nn.Linear(16, 24), nn.Linear(24, 16)
        self.out = nn.Linear(16, 11, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        return self.out(x + self.b(F.relu(self.a(x))))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.b1 = nn.Parameter(torch.randn(8))
        self.w2 = nn.Parameter(torch.randn(6, 8, 3, 3))
        self.scale = nn.Parameter(torch.randn(1, 6, 1, 1))
        self.project = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.w1, self.b1))
        x = F.conv2d(x, self.w2) * self.scale
        return x.mean((2, 3)) @ self.project


def transposed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.GroupNorm(2, 8),
        nn.PReLU(8),
        nn.ConvTranspose2d(8, 12, 4, 2, 1),
        nn.InstanceNorm2d(12, affine=True),
        nn.PReLU(),
        nn.ConvTranspose2d(12, 12, 3, 1, 1, groups=12),
        nn.Conv2d(12, 3, 3, 1, 1),
    )


def bare_norms() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.inorm(m.bnorm(m.stem(x)))
        return m.head(m.lnorm(m.mid(x.mean((2, 3)))))

    return Net(
        forward,
        stem=nn.Conv2d(3, 8, 3),
        bnorm=nn.BatchNorm2d(8, affine=False),
        inorm=nn.InstanceNorm2d(8),
        mid=nn.Linear(8, 12),
        lnorm=nn.LayerNorm(12, elementwise_affine=False),
        head=nn.Linear(12, 4),
    )


def one_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 8, 5),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Conv1d(8, 6, 3),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )


def three_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 8, 3),
        nn.BatchNorm3d(8),
        nn.ReLU(),
        nn.Conv3d(8, 6, 1),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )


def recurrent(kind: type[nn.RNNBase], **kw: object) -> Callable[[], nn.Module]:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        y, _ = m.rnn(m.inp(x))
        return m.head(y)

    def build() -> nn.Module:
        width = 10 * (2 if kw.get("bidirectional") else 1)
        return Net(
            forward,
            inp=nn.Linear(5, 8),
            rnn=kind(8, 10, batch_first=True, **kw),
            head=nn.Linear(width, 4),
        )

    return build


def crnn() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = F.relu(m.a(x))
        x = F.max_pool2d(F.relu(m.b(x)), (8, 1)).squeeze(2).permute(2, 0, 1)
        x, _ = m.rnn(x)
        return F.log_softmax(m.head(x), -1)

    return Net(
        forward,
        a=conv(3, 6),
        b=conv(6, 8),
        rnn=nn.LSTM(8, 7, num_layers=2, bidirectional=True),
        head=nn.Linear(14, 5),
    )


class Attention(nn.Module):
    """Self-attention: separate q/k/v, fused and chunked, or fused and reshaped by a constant."""

    def __init__(self, kind: str, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.kind, self.heads = kind, heads
        if kind == "separate":
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        else:
            self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        if self.kind == "separate":
            q, k, v = (
                layer(x).view(b, n, self.heads, -1).transpose(1, 2)
                for layer in (self.q, self.k, self.v)
            )
        elif self.kind in ("chunk", "default-scale"):
            q, k, v = (
                part.reshape(b, n, self.heads, -1).transpose(1, 2)
                for part in self.qkv(x).chunk(3, -1)
            )
        else:
            qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.kind == "separate":
            weights = (q @ k.transpose(-2, -1) / 3).softmax(-1)
            x = weights @ v
        else:
            scale = None if self.kind == "default-scale" else 0.3
            x = F.scaled_dot_product_attention(q, k, v, scale=scale)
        return self.proj(x.transpose(1, 2).reshape(b, n, -1))


class Transformer(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.cls = nn.Parameter(torch.randn(1, 1, 16))
        self.pos = nn.Parameter(torch.randn(1, 5, 16))
        self.attention = Attention(kind)
        self.n1, self.n2 = nn.LayerNorm(16), nn.LayerNorm(16)
        self.fc1, self.fc2 = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        x = x + self.attention(self.n1(x))
        x = x + self.fc2(F.gelu(self.fc1(self.n2(x))))
        return self.head(x[:, 0])


class Mixer(nn.Module):
    """Token mixing: a linear layer along positions, for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 4, 4)
        self.t1, self.t2 = nn.Linear(4, 6), nn.Linear(6, 4)
        self.c1, self.c2 = nn.Linear(12, 20), nn.Linear(20, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = x + self.t2(F.gelu(self.t1(x.transpose(1, 2)))).transpose(1, 2)
        x = x + self.c2(F.gelu(self.c1(x)))
        return self.head(x.mean(1))


class LastState(nn.Module):
    """The last output and the last state of an embedded sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 12)
        self.rnn = nn.GRU(12, 10, 2, batch_first=True)
        self.head = nn.Linear(10, 3)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        output, state = self.rnn(self.embed(tokens))
        return self.head(output[:, -1]), self.head(state[-1])


class Scaled(nn.Module):
    """A ConvNeXt block: depthwise, channels last, norm, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth = nn.Conv2d(3, 12, 4, 4), nn.Conv2d(12, 12, 3, 1, 1, groups=12)
        self.norm, self.a, self.b = nn.LayerNorm(12), nn.Linear(12, 48), nn.Linear(48, 12)
        self.gamma, self.head = nn.Parameter(torch.full((12,), 0.1)), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.b(F.gelu(self.a(self.norm(self.depth(x).permute(0, 2, 3, 1)))))
        x = x + (self.gamma * y).permute(0, 3, 1, 2)
        return self.head(x.mean([-2, -1]))


class TiedDecoder(nn.Module):
    """A weight and its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 12))
        self.first, self.last = nn.Linear(5, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        code = F.relu(F.linear(self.first(x), self.weight))
        return self.last(F.linear(code, self.weight.t()))


class Einsum(nn.Module):
    """Attention by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(6, 10)
        self.out = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.einsum("bld,bmd->blm", self.q(x), self.k(x)).softmax(-1)
        return self.out(torch.einsum("blm,bme->ble", weights, self.v(x)))


def unet() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        a = F.relu(m.down1(x))
        b = F.relu(m.down2(F.max_pool2d(a, 2)))
        return m.out(F.relu(m.merge(torch.cat([a, m.up(b)], 1))))

    return Net(
        forward,
        down1=conv(3, 8),
        down2=conv(8, 16),
        up=nn.ConvTranspose2d(16, 8, 2, 2),
        merge=conv(16, 8),
        out=nn.Conv2d(8, 2, 1),
    )


def encoder() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.head(m.layers(m.inp(x)).mean(1))

    layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
    return Net(
        forward,
        inp=nn.Linear(6, 16),
        layers=nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        head=nn.Linear(16, 3),
    )


class ManyInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.vector = nn.Conv2d(3, 8, 3), nn.Linear(5, 8)
        self.a, self.b = nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, image: Tensor, extra: dict[str, Tensor], scale: float = 1.0) -> object:
        x = F.relu(self.image(image).mean((2, 3)) + self.vector(extra["vector"]) * scale)
        return {"a": self.a(x), "b": (self.b(x), scale)}


class Auxiliary(nn.Module):
    """Training gives a second output that evaluation never computes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head, self.aux = conv(3, 8), nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> object:
        x = self.stem(x).mean((2, 3))
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


def spatial_gate() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        x = m.stem(x)
        return m.head((x * torch.sigmoid(m.gate(x))).mean((2, 3)))

    return Net(forward, stem=conv(3, 8), gate=nn.Conv2d(8, 1, 1), head=nn.Linear(8, 4))


def norm_over_channels() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.head(F.normalize(m.stem(x).mean((2, 3)), dim=1))

    return Net(forward, stem=conv(3, 8), head=nn.Linear(8, 4))


def unknown_operator() -> nn.Module:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.head(torch.cdist(m.stem(x).flatten(2), m.stem(x).flatten(2)).mean(1))

    return Net(forward, stem=conv(3, 8), head=nn.Linear(8, 4))


def weight_norm() -> nn.Module:
    a = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
    return nn.Sequential(
        a, nn.ReLU(), nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)
    )


def pixel_shuffle() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1)
    )


def sequence(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(*shape)


FAMILIES = {
    "residual-conv": Family(residual_conv, (8, 6, 12, 10)),
    "residual-zero-padding": Family(residual_zero_padding, (8, 6), pinned="zero padding"),
    "residual-zero-concat": Family(residual_zero_concat, (8, 6), pinned="constant"),
    "dense-concat": Family(dense_concat, (6, 4, 4, 4)),
    "inverted-residual": Family(inverted_residual, (8, 24)),
    "depthwise-multiplier": Family(
        lambda: nn.Sequential(conv(3, 6), nn.Conv2d(6, 12, 3, groups=6), nn.ReLU(),
                              nn.Conv2d(12, 5, 1), nn.Conv2d(5, 2, 1)), (6, 5)),
    "grouped": Family(
        lambda: nn.Sequential(conv(3, 12), nn.ReLU(), nn.Conv2d(12, 8, 3, groups=4),
                              nn.Conv2d(8, 2, 1)), (3, 2)),
    "squeeze-excite": Family(squeeze_excite, (12, 4)),
    "channel-shuffle": Family(channel_shuffle, (4, 4, 8)),
    "chunk": Family(chunk, (8, 6)),
    "dynamic-split": Family(dynamic_split, (8, 6)),
    "constant-split": Family(constant_split, (6,), pinned="fails when smaller"),
    "dynamic-slice": Family(dynamic_slice, (8, 6)),
    "constant-slice": Family(constant_slice, (6,), pinned="constants of the code"),
    "glu": Family(gated, (8, 6)),
    "flatten": Family(flatten, (8, 10)),
    "two-flattened": Family(two_flattened, (4, 6, 8)),
    "shared-module": Family(shared_module, (8,)),
    "tied-weights": Family(TiedWeights, (16, 24), lambda: torch.randint(0, 11, (2, 7))),
    "functional": Family(Functional, (8, 6)),
    "transposed": Family(transposed, (4, 12), renormalized=True),
    "bare-norms": Family(bare_norms, (8, 12), renormalized=True),
    "conv1d": Family(one_dimensional, (8, 6), sequence(2, 3, 20)),
    "conv3d": Family(three_dimensional, (8, 6), sequence(2, 2, 6, 6, 6)),
    "lstm": Family(recurrent(nn.LSTM), (8, 10), sequence(2, 6, 5)),
    "lstm-deep": Family(
        recurrent(nn.LSTM, num_layers=2, bidirectional=True), (8, 10), sequence(2, 6, 5)),
    "gru": Family(recurrent(nn.GRU), (8, 10), sequence(2, 6, 5)),
    "gru-deep": Family(
        recurrent(nn.GRU, num_layers=3, bidirectional=True, bias=False), (8, 10),
        sequence(2, 6, 5)),
    "rnn": Family(recurrent(nn.RNN), (8, 10), sequence(2, 6, 5)),
    "crnn": Family(crnn, (6, 8, 7)),
    "attention-separate": Family(
        lambda: Transformer("separate"), (4, 16, 32), renormalized=True),
    "attention-chunk": Family(lambda: Transformer("chunk"), (16, 4, 32), renormalized=True),
    "attention-constant": Family(
        lambda: Transformer("constant"), (32,), pinned="fails when smaller"),
    "attention-scaled": Family(
        lambda: Transformer("default-scale"), (4, 16, 32), renormalized=True),
    "encoder-layers": Family(encoder, (4, 24, 24), sequence(2, 5, 6), renormalized=True),
    "decoder-layer": Family(
        lambda: nn.TransformerDecoderLayer(16, 4, 24, batch_first=True), (24,),
        lambda: (torch.randn(2, 5, 16), torch.randn(2, 6, 16))),
    "mixer": Family(Mixer, (12, 20), pinned="across the positions"),
    "last-state": Family(LastState, (12, 10), lambda: torch.randint(0, 20, (2, 7))),
    "layer-scale": Family(Scaled, (12, 48), sequence(2, 3, 16, 16), renormalized=True),
    "tied-decoder": Family(TiedDecoder, (12, 8), sequence(2, 5)),
    "einsum": Family(Einsum, (8, 10), sequence(2, 5, 6)),
    "unet": Family(unet, (8, 16, 8, 8)),
    "many-inputs": Family(
        ManyInputs, (8,),
        lambda: (torch.randn(2, 3, 8, 8), {"vector": torch.randn(2, 5)})),
    "keyword-inputs": Family(
        ManyInputs, (8,),
        lambda: {"image": torch.randn(2, 3, 8, 8), "extra": {"vector": torch.randn(2, 5)}}),
    "auxiliary-head": Family(Auxiliary, (8,)),
    "spatial-gate": Family(spatial_gate, (8,)),
    "norm-over-channels": Family(norm_over_channels, (8,), renormalized=True),
    "unknown-operator": Family(unknown_operator, (), pinned="unknown operator"),
    "weight-norm": Family(weight_norm, (6,), pinned="weight norm"),
    "pixel-shuffle": Family(pixel_shuffle, (6,)),
}  # fmt: skip


Case = tuple[Family, nn.Module, object, Structure]


def outputs(model: nn.Module, inputs: object) -> list[Tensor]:
    with torch.no_grad(), slow_attention():
        leaves = tree_leaves(call(model, inputs))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def difference(one: nn.Module, other: nn.Module, inputs: object) -> float:
    pairs = zip(outputs(one, inputs), outputs(other, inputs), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)
