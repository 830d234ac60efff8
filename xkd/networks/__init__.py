"""Small wrappers that give a network another shape: one per file."""

from xkd.networks.dense_detector import DenseDetector
from xkd.networks.enlarged import Enlarged
from xkd.networks.logits import Logits
from xkd.networks.pixel_decoder import PixelDecoder

__all__ = ["DenseDetector", "Enlarged", "Logits", "PixelDecoder"]
