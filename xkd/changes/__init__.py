"""What is done to a network after its weights are loaded and before it is tapped, one idea per file: folded, rounded.

A change is called as `change(model, example)`, with the network in eval mode and a normalised batch (2, C, H, W) of noise. It alters the
network in place, keeps the paths of its modules, and returns in words what it did. Its `str` says which change it is: checkpoints keep it.
"""

from xkd.changes.folded import Folded
from xkd.changes.rounded import Rounded

__all__ = ["Folded", "Rounded"]
