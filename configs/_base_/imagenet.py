"""ImageNet's weights of EfficientNet-Lite0 without a hub: `python tools/imagenet_weights.py lite0 --out weights` writes the file."""

from xkd import Pretrained

imagenet = dict(type=Pretrained, file="weights/tf_efficientnet_lite0.safetensors")
summed = dict(imagenet, channels="average")  # the first convolution answers to grey as it did to colour
