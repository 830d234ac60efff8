"""Born-again networks: each generation is taught by the one before it, from labels alone to the third.

    xkd plan configs/plans/born_again.py --seeds 3

Furlanello et al., "Born Again Neural Networks", ICML 2018, arXiv:1805.04770.
"""

from mmengine.config import read_base

from xkd import Checkpoint

with read_base():
    from ..rgb_rgb.leafsim_born_again import *

config = "../rgb_rgb/leafsim_born_again.py"
parent = "distiller.branches.parent.weights"
stages = dict(
    labels=dict(config=config, options={"distiller.branches": dict(rgb=resnet10), "distiller.terms": dict(ce=distiller.terms.ce)}),
    first=dict(config=config, options={parent: dict(type=Checkpoint, path="@labels")}),
    second=dict(config=config, options={parent: dict(type=Checkpoint, path="@first")}),
    third=dict(config=config, options={parent: dict(type=Checkpoint, path="@second")}),
)
