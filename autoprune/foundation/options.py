"""Types of the options that several commands share, with their help texts."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import tyro

Name = Annotated[str, tyro.conf.arg(metavar="NAME")]
Spec = Annotated[str, tyro.conf.arg(metavar="SPEC")]
Model = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="SPEC",
        help="Zoo name, timm:NAME, torchvision:NAME, ultralytics:NAME, hf:DIRECTORY, or a"
        " function that returns an nn.Module, as file.py:function or package.module:function;"
        " options of its constructor may follow: resnet20,shortcut=B.",
        help_behavior_hint="(default: digits-resnet, for digits)",
    ),
]
FromRun = Annotated[
    str | None, tyro.conf.arg(metavar="SPEC", help_behavior_hint="(default: the run's)")
]
Weights = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="FILE",
        help="Trained weights: safetensors, a checkpoint that loads with weights_only, or a"
        " finished run.",
        help_behavior_hint="",
    ),
]
_CEILING: Final = (
    "Ceiling on cost, as 0.5flops, 0.3params or 60Mmacs; joined by commas, all must hold."
)
BudgetSpec = Annotated[str, tyro.conf.arg(metavar="SPEC", help=_CEILING)]
AnyBudget = Annotated[
    str,
    tyro.conf.arg(
        metavar="SPEC",
        help=f"{_CEILING} Needed unless there is --budgets or --max-drop.",
        help_behavior_hint="",
    ),
]
Budgets = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="SPECS",
        help="Several budgets, joined by commas, as 0.3flops,0.5flops: a network for each, from one"
        " ranking and searches that learn from each other. + joins limits of one budget.",
        help_behavior_hint="",
    ),
]
MaxDrop = Annotated[
    float | None,
    tyro.conf.arg(
        metavar="POINTS",
        help="In place of a budget: find the smallest network that loses no more points of the"
        " score than this, on the validation split.",
        help_behavior_hint="",
    ),
]
Minimized = Literal["flops", "latency", "params"]
MINIMIZED: Final = get_args(Minimized)
"""Units of the costs that may be minimized, the default first."""
Minimize = Annotated[
    Minimized | None,
    tyro.conf.arg(
        metavar="{flops,latency,params}",
        help="What --max-drop makes as small as it can.",
        help_behavior_hint="(default: flops)",
    ),
]
DataSpec = Annotated[
    Spec,
    tyro.conf.arg(
        help="digits, a directory, a hub name, text:FILE, speech:FILE.csv, or file.py:function."
    ),
]
Resize = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="N",
        help="Bring images of --data to N x N pixels: the shorter side to N, the middle of the"
        " longer.",
        help_behavior_hint="(default: their own size)",
    ),
]
TaskSpec = Annotated[
    Spec,
    tyro.conf.arg(
        help="What a batch is, the loss and the score: classification, token-classification,"
        " causal-lm, masked-lm, seq2seq-lm, detection, ctc, or file.py:name."
    ),
]
ScoreName = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="NAME",
        help="Score of a classification: accuracy, balanced-accuracy, macro-f1 or mean-iou.",
        help_behavior_hint="(default: accuracy)",
    ),
]
ClassWeightsSpec = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="SPEC",
        help="Weights of the classes in the loss: balanced, or one number each, as 1,1,4.",
        help_behavior_hint="",
    ),
]
GranularityName = Annotated[
    Name,
    tyro.conf.arg(
        help="What a unit is: channel (removed), weight (single ones, masked), or n:m as 2:4"
        " (masked)."
    ),
]
KeptLayers = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="LAYER[=FRACTION]",
        help="Keep all units of a layer, or at least a fraction of them; * is a wildcard, as in"
        " layer1.*=0.5.",
        help_behavior_hint="(repeatable)",
    ),
]
OnlyLayers = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="LAYER",
        help="Prune these layers only; * is a wildcard.",
        help_behavior_hint="(repeatable)",
    ),
]
OutputNames = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="NAME",
        help="Outputs of the model that count, as logits, 0 or 1.boxes; others, hidden states that"
        " nobody reads, may shrink.",
        help_behavior_hint="(repeatable; default: what the task reads)",
    ),
]
SizeNames = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(
        metavar="NAME",
        help="Ints of modules that may have to follow the plan, beside those that are found; * is a"
        " wildcard, as in blocks.*.attn.num_heads.",
        help_behavior_hint="(repeatable)",
    ),
]
Directory = Annotated[
    str | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="(default: logs/<generated>)")
]
RunDirectory = Annotated[
    Directory,
    tyro.conf.arg(help="Directory that holds the run; the same command again continues it."),
]
DenseBaseline = Annotated[
    Literal["dense"] | None,
    tyro.conf.arg(
        name="baseline",
        metavar="dense",
        help="Fine-tune the dense network as long, too, and show it beside the result.",
        help_behavior_hint="",
    ),
]
Align = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="N",
        help="Keep multiples of this many units where the group allows it.",
        help_behavior_hint="(default: 8, less for small groups; for latency what suits the device)",
    ),
]
Depth = Annotated[
    Literal["auto", "off"] | None,
    tyro.conf.arg(
        help="auto: whole branches of residual blocks may go, too; off: widths only.",
        metavar="{auto,off}",
        help_behavior_hint="(default: auto where latency is limited, else off)",
    ),
]
Match = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="MINUTES",
        help="Minutes of feature matching before fine-tuning: without labels, the pruned network"
        " learns to give what the dense one gives. 300steps counts steps.",
        help_behavior_hint="(default: none)",
    ),
]
Unlabeled = Annotated[
    str | None,
    tyro.conf.arg(
        metavar="SPEC",
        help="Samples to match on, as --data takes them; labels are not looked at.",
        help_behavior_hint="(default: the training samples)",
    ),
]
Backend = Annotated[
    Name,
    tyro.conf.arg(
        help="What latency is measured with: torch, onnxruntime (needs the extra [onnx]), or a"
        " plug-in."
    ),
]
LatencyBatch = Annotated[
    int, tyro.conf.arg(help="Samples per forward pass where latency is measured.")
]
Seed = Annotated[int, tyro.conf.arg(help="Seed of everything random.")]
Device = Annotated[
    Name, tyro.conf.arg(help="cpu, cuda, cuda:1, ...; auto takes cuda where there is one.")
]
Threads = Annotated[
    int,
    tyro.conf.arg(
        help="Threads that PyTorch computes with; 0: one for small networks, else one per core."
    ),
]
Workers = Annotated[
    int,
    tyro.conf.arg(
        help="Processes that evaluate plans; 0: chosen automatically. Results do not depend on it."
    ),
]
ExecutorName = Annotated[
    str,
    tyro.conf.arg(
        metavar="NAME",
        help="Where plans are evaluated: local, ray (a cluster of this machine), or the address of"
        " a Ray cluster. Results do not depend on it.",
    ),
]
Round = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="N",
        help="Plans that are proposed at a time, on which results depend.",
        help_behavior_hint="(default: 4, on a cluster at least --workers)",
    ),
]
Minutes = Annotated[
    float | None,
    tyro.conf.arg(
        metavar="N",
        help="Minutes after which a search tries no more plans.",
        help_behavior_hint="(default: as many as it takes)",
    ),
]
Suppressed = tyro.conf.Suppress[str | None]
"""Name of an object that only Python can pass; it belongs to what a run was asked."""
Given = Annotated[str, tyro.conf.arg(metavar="DIR")]
Flag = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
Fresh = Annotated[
    Flag, tyro.conf.arg(help="Start over; an existing run is kept beside the new one.")
]
TrustCode = Annotated[
    Flag,
    tyro.conf.arg(
        help="Import the functions that the run names (file.py:function), though you never named"
        " them on this machine. They run with all your rights: read them first."
    ),
]
Json = Annotated[Flag, tyro.conf.arg(help="Print one JSON object instead of tables.")]
Debug = Annotated[Flag, tyro.conf.arg(help="Show the traceback of an error.")]
