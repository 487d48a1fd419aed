import json

import pytest
import torch
from torch import nn

from autoprune.cli.main import main
from autoprune.cost.budget import Budget
from autoprune.cost.energy import EnergyTable, joules
from autoprune.cost.model import CostModel
from autoprune.errors import InfeasibleError, UsageError
from autoprune.networks.zoo import build
from autoprune.problem.prune import prune
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan


class Mixed(nn.Module):
    """Depthwise and strided convolutions, a concatenation, a flatten, an LSTM and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.side = nn.Conv2d(8, 6, 1)
        self.join = nn.Conv2d(14, 4, 1)
        self.flat = nn.Linear(4 * 4 * 4, 20)
        self.lstm = nn.LSTM(5, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.norm(self.depthwise(self.stem(x).relu()))
        x = self.join(torch.cat([x, self.side(x)], 1)).relu()
        x = self.flat(x.flatten(1)).relu().unsqueeze(2).expand(-1, -1, 5)
        return self.head(self.lstm(x)[0][:, -1])


def counted(model: nn.Module, inputs: torch.Tensor, table: EnergyTable) -> int:
    """Energy of the modules of a network, in femtojoules, counted while it runs."""
    total, samples = 0, len(inputs)

    def count(module, given, made):
        nonlocal total
        value = given[0]
        made = made[0] if isinstance(made, tuple) else made
        if isinstance(module, nn.Conv2d):
            macs = made.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            macs = made.numel() * module.in_features
        else:
            macs = (
                value.shape[1]
                * samples
                * sum(w.numel() for n, w in module.named_parameters() if n.startswith("weight"))
            )
        moved = value.numel() + made.numel()
        total += (macs * table.mac + moved * table.activation) // samples

    kinds = (nn.Conv2d, nn.Linear, nn.LSTM)
    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        model.eval()(inputs)
    for hook in hooks:
        hook.remove()
    tensors = [*model.parameters(), *model.buffers()]
    return total + sum(t.numel() * table.weight(t.element_size()) for t in tensors if t.dim())


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("make", [Mixed, lambda: build("digits-resnet")], ids=["mixed", "resnet"])
def test_energy_of_a_plan_is_what_the_pruned_network_does(make, fraction):
    torch.manual_seed(0)
    model = make().eval()
    inputs = torch.randn(2, 2 if isinstance(model, Mixed) else 1, 8, 8)
    structure = analyze(model, inputs)
    plan = Plan.uniform(structure, fraction)
    for table in (EnergyTable(), EnergyTable(arithmetic="int", dram=100, register=0.25)):
        expected = counted(prune(model, structure, plan), inputs, table)
        assert CostModel(structure, table).energy(plan) == expected


def test_prices_of_the_published_table():
    table = EnergyTable()
    assert table.mac == 3700 + 900 + 4 * 1000
    assert table.weight(4) == 645_000 and table.weight(2) == 322_500
    assert table.activation == 5000
    assert EnergyTable(arithmetic="int").mac == 3100 + 100 + 4 * 1000
    assert any("DRAM 640" in line for line in table.lines())


def test_a_budget_of_energy_is_met_to_the_quantum():
    structure = analyze(build("digits-resnet").eval(), torch.randn(2, 1, 8, 8))
    cost = CostModel(structure)
    budget = Budget.parse("0.5energy").bind(cost)
    plan = budget.uniform()
    bound = budget.limits["energy"]
    assert bound == cost.energy.dense // 2 and cost.energy(plan) <= bound
    for name, kept in plan.items():
        if kept < structure.sizes[name]:
            assert cost.energy({**plan, name: kept + 1}) > bound
    with pytest.raises(InfeasibleError, match="J, 0"):
        Budget.parse("0.0001energy").bind(cost)


def test_a_table_is_read_from_a_file(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"dram": 200, "arithmetic": "int"}))
    assert EnergyTable.read(path) == EnergyTable(dram=200, arithmetic="int")


@pytest.mark.parametrize(
    "content",
    [
        '{"drum": 1}',
        "[1]",
        '{"dram": -1}',
        '{"dram": "1"}',
        '{"dram": true}',
        '{"sram": 1e9}',
        '{"arithmetic": "complex"}',
        '{"dram": 0, "sram": 0, "register": 0, "float_add": 0, "float_mult": 0}',
    ],
)
def test_bad_tables_are_refused(tmp_path, content):
    path = tmp_path / "prices.json"
    path.write_text(content)
    with pytest.raises(UsageError):
        EnergyTable.read(path)


def test_energies_have_prefixes():
    assert [joules(value) for value in (12, 1.5e6, 2e9, 3.25e12, 4e15)] == [
        "0.012 pJ",
        "1.5 nJ",
        "2 uJ",
        "3.25 mJ",
        "4 J",
    ]


def test_a_search_by_energy_says_what_is_assumed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["search", "--budget", "0.0001energy", "--run", "run"]) == 3
    err = " ".join(capsys.readouterr().err.split())
    assert "DRAM 640" in err and "each weight and buffer comes from DRAM once" in err
    assert not (tmp_path / "run").exists()
