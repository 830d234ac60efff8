"""Taps: read any stage or module of any network during its forward pass; tokens, NHWC and NCHW all become NCHW."""

from xkd.taps.attention import attention_modules
from xkd.taps.layout import fold_time, num_prefix_tokens, to_nchw
from xkd.taps.modules import find_module, stage_names
from xkd.taps.tap import Tap, Time
from xkd.taps.taps import Taps
from xkd.taps.wrappers import layers_of, num_frames

__all__ = [
    "Tap",
    "Taps",
    "Time",
    "attention_modules",
    "find_module",
    "fold_time",
    "layers_of",
    "num_frames",
    "num_prefix_tokens",
    "stage_names",
    "to_nchw",
]
