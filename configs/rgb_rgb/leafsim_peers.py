"""Two RGB CNNs learn from each other with a tenth of the labels (DML); beside it KDCL, ONE, and the same peer trained first.

xkd compare configs/rgb_rgb/leafsim_peers.py --seeds 3
"""

from mmengine.config import read_base

from xkd import Ensemble, Gated, Head, Mean, MinLogit, OFAHead, Ramp

with read_base():
    from .._base_.leafsim_small import *

# a stem of small steps, as the other's: a plain ResNet-18 is far worse than its peer on images of 64 pixels, and drags it down
resnet18 = dict(type=Branch, model=dict(small, model_name="resnet18d", stem_width=16), view=rgb, weights=dict(type=Random))
ce = dict(type=Term, loss=dict(type=CrossEntropy), student="resnet10.output", teacher="batch.target")
labels = dict(ce=ce, ce_resnet18=dict(ce, student="resnet18.output"))
mutual = dict(type=Term, loss=dict(type=KD, tau=1.0))  # both learn in one step from what both said before it
team = dict(type=Ensemble, of=("resnet10.output", "resnet18.output"), by=dict(type=Mean))
distiller = dict(
    type=Distiller,
    student="resnet10",
    task=task,
    branches=dict(resnet10=resnet10, resnet18=resnet18),
    ensembles=dict(team=team),
    terms=dict(
        labels,
        to_resnet10=dict(mutual, student="resnet10.output", teacher="resnet18.output"),
        to_resnet18=dict(mutual, student="resnet18.output", teacher="resnet10.output"),
    ),
)

from_team = dict(type=Term, loss=dict(type=KD, tau=2.0), teacher="team.output")
collaborative = {
    "distiller.terms": dict(
        labels, to_resnet10=dict(from_team, student="resnet10.output"), to_resnet18=dict(from_team, student="resnet18.output")
    )
}
# three ends of one trunk: the network's own last stage, and two of separable convolutions in place of ONE's copies of it
branched = dict(
    resnet10,
    taps=dict(trunk=dict(type=Tap, path="stage:2")),
    heads=dict(
        second=dict(type=Head, tap="trunk", module=dict(type=OFAHead, grid=2)),
        third=dict(type=Head, tap="trunk", module=dict(type=OFAHead, grid=2)),
    ),
)
ends = ("output", "second", "third")
ramped = dict(type=Term, loss=dict(type=KD, tau=3.0), teacher="team.output", weight=dict(type=Ramp, weight=1.0, start=0, end=8))
native = {f"ce_{end}": dict(ce, student=f"resnet10.{end}") for end in ends} | {
    f"to_{end}": dict(ramped, student=f"resnet10.{end}") for end in ends
}
first = dict(resnet18, weights=dict(type=Trained), frozen=True)
compare = dict(
    variants=dict(
        kdcl=collaborative | {"distiller.ensembles.team.by": dict(type=MinLogit)},
        kdcl_mean=collaborative | {"distiller.ensembles.team.by": dict(type=Mean, tau=2.0)},
        one={
            "distiller.branches": dict(resnet10=branched),
            "distiller.ensembles": dict(
                team=dict(type=Ensemble, of=tuple(f"resnet10.{end}" for end in ends), by=dict(type=Gated, reading="resnet10.trunk"))
            ),
            "distiller.terms": dict(native, ce_team=dict(ce, student="team.output")),
        },
        offline={
            "distiller.branches.resnet18": first,
            "distiller.ensembles": {},
            "distiller.terms": dict(
                ce=ce, kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="resnet10.output", teacher="resnet18.output")
            ),
        },
        apart={"distiller.terms.to_resnet10.weight": 0.0, "distiller.terms.to_resnet18.weight": 0.0},
    ),
    answers=dict.fromkeys(("distilled", "kdcl", "apart"), ("team", "resnet18")),
)
