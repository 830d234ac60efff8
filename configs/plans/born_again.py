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
alone = {"distiller.branches": dict(rgb=resnet10), "distiller.terms": dict(ce=distiller.terms.ce)}
# each is a chain of its own, so that they are compared
stages = dict(
    labels=dict(config=config, options=alone, chain="labels"),
    first=dict(config=config, options={parent: dict(type=Checkpoint, path="@labels")}, chain="first"),
    second=dict(config=config, options={parent: dict(type=Checkpoint, path="@first")}, chain="second"),
    third=dict(config=config, options={parent: dict(type=Checkpoint, path="@second")}, chain="third"),
)
