"""Stand-ins for the compiled operators of torchvision.

The wheel of torchvision on PyPI is compiled for another build of torch than the CPU wheels: its
operators do not load there, and then importing torchvision fails. No network here runs them; they
only have to be declared.
"""

from __future__ import annotations

import torch

_OPERATORS = """
nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor
qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor
roi_align(Tensor input, Tensor rois, float scale, int h, int w, int ratio, bool aligned) -> Tensor
qroi_align(Tensor input, Tensor rois, float scale, int h, int w, int ratio, bool aligned) -> Tensor
_roi_align_backward(Tensor grad, Tensor rois, float scale, int h, int w, int b, int c, int ih, int iw, int ratio, bool aligned) -> Tensor
ps_roi_align(Tensor input, Tensor rois, float scale, int h, int w, int ratio) -> (Tensor, Tensor)
_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor map, float scale, int h, int w, int ratio, int b, int c, int ih, int iw) -> Tensor
roi_pool(Tensor input, Tensor rois, float scale, int h, int w) -> (Tensor, Tensor)
_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float scale, int h, int w, int b, int c, int ih, int iw) -> Tensor
ps_roi_pool(Tensor input, Tensor rois, float scale, int h, int w) -> (Tensor, Tensor)
_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor map, float scale, int h, int w, int b, int c, int ih, int iw) -> Tensor
deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, int a, int b, int c, int d, int e, int f, int g, int h, bool i) -> Tensor
_deform_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, int a, int b, int c, int d, int e, int f, int g, int h, bool i) -> Tensor[]
"""  # noqa: E501

_library = torch.library.Library("torchvision", "FRAGMENT")


def declare() -> None:
    """Declare the operators that are not there; call it before torchvision is imported."""
    for schema in _OPERATORS.strip().splitlines():
        name = schema.partition("(")[0]
        if not torch._C._dispatch_has_kernel(f"torchvision::{name}"):
            _library.define(schema)
