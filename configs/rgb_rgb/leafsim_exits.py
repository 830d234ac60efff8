"""Two exits of an RGB CNN learn from its deepest output with a tenth of the labels (BYOT); alone: the same exits by the labels.

xkd compare configs/rgb_rgb/leafsim_exits.py --seeds 3
"""

from mmengine.config import read_base

from xkd import Head, OFAHead

with read_base():
    from .._base_.leafsim_small import *

exits = ("first", "second")  # the stages where a row may leave
ce = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        rgb=dict(
            resnet10,
            taps=dict(low=dict(type=Tap, path="stage:1"), mid=dict(type=Tap, path="stage:2")),
            heads=dict(
                first=dict(type=Head, tap="low", module=dict(type=OFAHead, grid=2)),
                second=dict(type=Head, tap="mid", module=dict(type=OFAHead, grid=2)),
            ),
        ),
    ),
    terms=dict(
        ce=ce,
        **{f"ce_{name}": dict(ce, student=f"rgb.{name}") for name in exits},
        **{
            f"to_{name}": dict(type=Term, loss=dict(type=KD, tau=3.0), student=f"rgb.{name}", teacher="rgb.output", weight=0.1)
            for name in exits
        },
    ),
)
compare = dict(
    variants=dict(
        strong={f"distiller.terms.to_{name}.weight": 1.0 for name in exits},
        without_exits={f"distiller.terms.{edge}_{name}.weight": 0.0 for name in exits for edge in ("ce", "to")},
    )
)
