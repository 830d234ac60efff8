"""Small wrappers that give a network another shape: one per file."""

from xkd.networks.dense_detector import DenseDetector
from xkd.networks.enlarged import Enlarged
from xkd.networks.frames import Frames
from xkd.networks.generator import Generator, NoiseImages
from xkd.networks.logits import Logits
from xkd.networks.pixel_decoder import PixelDecoder
from xkd.networks.volume import Volume

__all__ = ["DenseDetector", "Enlarged", "Frames", "Generator", "Logits", "NoiseImages", "PixelDecoder", "Volume"]
