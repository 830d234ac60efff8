"""Taps: read any stage or module of any network during its forward pass; tokens, NHWC and NCHW all become NCHW."""

from xkd.taps.attention import attention_modules
from xkd.taps.layout import num_prefix_tokens, to_nchw
from xkd.taps.modules import find_module, stage_names
from xkd.taps.tap import Tap
from xkd.taps.taps import Taps

__all__ = ["Tap", "Taps", "attention_modules", "find_module", "num_prefix_tokens", "stage_names", "to_nchw"]
