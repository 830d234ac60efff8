"""A network of images on clips: every frame passes it, and their answers are averaged; a temporal shift lets it see motion."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from xkd.networks.logits import no_tensor
from xkd.networks.shift import add_shift
from xkd.taps import layers_of

Join = Literal["mean", "shift", "past"]


class Frames(nn.Module):
    """Answers (B, K), or (B, K, H', W') for pixels, of clips (B, T C, H, W): `frames` images of C channels, the first one's channels first.

    `network` takes single images, so its `in_chans` are those of one frame; its answers are averaged over the frames. `join`:

    - "mean": frames know nothing of each other, so that their order does not matter: no motion is seen.
    - "shift": the temporal shift of TSM, in the residual branches of ResNets, RegNets, MobileNets (V2 to V4), EfficientNets and ConvNeXts
      (the authors': ResNet, MobileNetV2). No parameters are added; weights for single images fit, and then want to be trained on.
    - "past": the authors' one-way shift, for frames that arrive one by one: a frame's answer depends on frames before it alone.

    Names of weights may begin with "network." in a file or not; paths of taps do, "network.layer4", or name a stage, "stage:-1". A tap has
    the mean over frames, or with `Tap(time="all")` all of them. `ValueError` for a network over time, or without a place to shift.
    """

    wraps: Final = "network"

    def __init__(self, network: Any, frames: int, join: Join = "mean") -> None:
        super().__init__()
        if type(frames) is not int or frames < 1:
            raise ValueError(f"Frames: frames is how many a clip has, a whole number from 1 on, got {frames!r}")
        if join not in get_args(Join):
            raise ValueError(f"Frames: join is one of {list(get_args(Join))}, got {join!r}")
        if any(isinstance(module, nn.Conv3d) for module in network.modules()):
            raise ValueError(f"Frames gives single frames to a network of images, and {type(network).__name__} convolves over time: Volume")
        self.network, self.num_frames, self.join = network, frames, join
        if join != "mean":
            add_shift(network, frames, both=join == "shift")

    def forward(self, clips: Float[Tensor, "b tc h w"]) -> Float[Tensor, "b ..."]:
        """`ValueError` where the channels are no clip of so many frames, or the network gives neither scores nor maps."""
        images = clips.reshape(-1, channels_of_each("Frames", clips, self.num_frames), *clips.shape[2:])
        self._check_channels(images.shape[1])
        output = self.network(images)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        if output.ndim not in (2, 4):
            raise ValueError(
                f"Frames averages scores (B, K) or maps (B, K, H, W), and {type(self.network).__name__} gives {tuple(output.shape)} for"
                f" {tuple(images.shape)}: a mean of boxes or tokens is none"
            )
        mean: Tensor = output.reshape(-1, self.num_frames, *output.shape[1:]).mean(1)
        return mean

    def _check_channels(self, given: int) -> None:
        """Where timm says which convolution is the first."""
        layers: Any = layers_of(self)
        first = getattr(layers, "pretrained_cfg", {}).get("first_conv")
        convolution = dict(layers.named_modules()).get(first) if isinstance(first, str) else None
        takes = getattr(convolution, "in_channels", given)
        if takes != given:
            raise ValueError(
                f"{self.num_frames} frames of {given} channels each, and {type(layers).__name__} takes images of {takes}: make it with"
                f" in_chans={given}, or give another number of frames"
            )


def channels_of_each(wrapper: str, clips: Float[Tensor, "b tc h w"], frames: int) -> int:
    """Of one frame; `ValueError` where the channels are not those of so many frames."""
    if clips.shape[1] % frames:
        raise ValueError(
            f"{wrapper} takes clips of {frames} frames one after the other as channels, and {clips.shape[1]} channels are no multiple of"
            f" {frames}: give Clip and {wrapper} the same number of frames"
        )
    return clips.shape[1] // frames
