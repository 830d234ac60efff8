"""A network over time on clips: torchvision's video networks, which take frames, height and width as one volume."""

from __future__ import annotations

from typing import Any, Final

from jaxtyping import Float
from torch import Tensor, nn

from xkd.graph.channels import adapt_channels
from xkd.networks.frames import channels_of_each
from xkd.networks.logits import no_tensor

# torchvision's classes -> their stages, and how their maps lie
_STAGES: Final = {
    "VideoResNet": (("layer1", "layer2", "layer3", "layer4"), "NCHW"),
    "SwinTransformer3d": (("features.0", "features.2", "features.4", "features.6"), "NHWC"),
}


class Volume(nn.Module):
    """What `network` answers to clips (B, T C, H, W), which it gets as (B, C, T, H, W): `frames` images of C channels, the first one first.

    `network` is one of `torchvision.models.video`: `mc3_18`, `r3d_18`, `r2plus1d_18`, `s3d`, `mvit_v1_b`, `mvit_v2_s`, `swin3d_t` and
    larger, or another that takes such a volume. Theirs are made for three channels. With another `in_chans` the first convolution
    starts from the mean of its kernels over channels, scaled so that an image of one constant answers alike, and is learned from there.

    Names of weights may begin with "network." in a file or not; paths of taps do, "network.layer4". Stages, "stage:-1", are known of
    torchvision's ResNets and Swins. A tap has the mean over the steps of time that its layer has, or with `Tap(time="all")` all of them.
    `ValueError` for a network of images, and for an MViT that is made for clips of another number of frames or another size.
    """

    wraps: Final = "network"

    def __init__(self, network: Any, frames: int, in_chans: int = 3) -> None:
        super().__init__()
        if type(frames) is not int or frames < 1 or in_chans < 1:
            raise ValueError(
                f"Volume: frames is a whole number from 1 on and in_chans from 1 on, got frames={frames!r}, in_chans={in_chans!r}"
            )
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv3d)]
        if not convolutions:
            raise ValueError(
                f"Volume gives a network frames as a volume, and {type(network).__name__} has no 3-D convolution: Frames(network)"
            )
        self.network, self.num_frames, self.in_chans = network, frames, in_chans
        if convolutions[0].in_channels != in_chans:
            convolutions[0].weight = nn.Parameter(adapt_channels(convolutions[0].weight.detach(), in_chans, "average"))
            convolutions[0].in_channels = in_chans

    @property
    def feature_info(self) -> list[dict[str, str]]:
        """The stages, as timm lists its networks'; none of networks that are not known."""
        stages, _ = _STAGES.get(type(self.network).__name__, ((), ""))
        return [{"module": f"network.{stage}"} for stage in stages]

    @property
    def output_fmt(self) -> str:
        """How the stages' maps lie, time left out."""
        return _STAGES.get(type(self.network).__name__, ((), "NCHW"))[1]

    @property
    def advice(self) -> str:
        """What may help where the network fails at the size of its clips."""
        return f" (it may need more frames than {self.num_frames} or larger images, as s3d needs 14 of 224 x 224)"

    def forward(self, clips: Float[Tensor, "b tc h w"]) -> Float[Tensor, "b ..."]:
        """`ValueError` where the channels are no clip of so many frames, or the network was made for other clips."""
        channels, (height, width) = channels_of_each("Volume", clips, self.num_frames), clips.shape[2:]
        if channels != self.in_chans:
            raise ValueError(
                f"{self.num_frames} frames of {channels} channels each, and the network takes {self.in_chans}: with"
                f" Volume(..., in_chans={channels}) its first convolution begins with the mean of its kernels"
            )
        self._check_size((self.num_frames, height, width))
        output = self.network(clips.reshape(-1, self.num_frames, channels, height, width).transpose(1, 2))
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        return output

    def _check_size(self, size: tuple[int, int, int]) -> None:
        """An MViT has a place for each token."""
        places: Any = getattr(self.network, "pos_encoding", None)
        if not hasattr(places, "temporal_size"):
            return
        first: Any = self.network.conv_proj
        geometry = zip(size, first.kernel_size, first.stride, first.padding, strict=True)
        tokens = tuple((side + 2 * padding - kernel) // stride + 1 for side, kernel, stride, padding in geometry)
        if tokens != (made := (places.temporal_size, *places.spatial_size)):
            frames, height, width = (count * stride for count, stride in zip(made, first.stride, strict=True))
            raise ValueError(
                f"clips of {size[0]} frames of {size[1]} x {size[2]} pixels, and this {type(self.network).__name__} was made for {frames}"
                f" of {height} x {width}: give its view these, or take a network for any, such as mc3_18, r3d_18 or swin3d_t"
            )
