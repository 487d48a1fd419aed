"""OCR-Net: a reader of text lines, convolutions, a bidirectional LSTM, CTC.

The design of Shi et al. 2017, "An End-to-End Trainable Neural Network for Image-based Sequence
Recognition" (CRNN), table 1, with a fourteenth of its parameters, so that files have about the
2,426 kB that pruning tables list. At 1x32x128, 63 classes (the blank, digits, letters of both
cases): 607,487 parameters, 69.46 M MACs.
"""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((32, (2, 2)), (64, (2, 2)), (128, (2, 1)), (128, (2, 1)))
"""Width of each 3x3 convolution and the pooling after it, (height, width)."""

HIDDEN = 144


class OCRNet(nn.Module):
    """Squeeze a line of text into columns, read them in both directions, label each."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, pool in STAGES:
            layers += [*_conv(channels, width, (3, 3), (1, 1)), nn.MaxPool2d(pool)]
            channels = width
        self.features = nn.Sequential(*layers, *_conv(channels, channels, (2, 1), (0, 0)))
        self.lstm = nn.LSTM(channels, HIDDEN, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * HIDDEN, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, 32, W] -> logits [B, W / 4, classes], class 0 being CTC's blank."""
        columns = self.features(x).squeeze(2).transpose(1, 2)
        logits: Tensor = self.linear(self.lstm(columns)[0])
        return logits


def _conv(
    inputs: int, outputs: int, kernel: tuple[int, int], padding: tuple[int, int]
) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
    nn.init.kaiming_normal_(conv.weight)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def ocrnet(classes: int, channels: int) -> OCRNet:
    """Build OCR-Net."""
    return OCRNet(classes, channels)
