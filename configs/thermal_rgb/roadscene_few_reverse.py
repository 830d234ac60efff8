"""RoadScene the other way round, with a fifth of the labels: an RGB ResNet-18 teaches a ResNet-10t on the thermal camera."""

from mmengine.config import read_base

with read_base():
    from ..rgb_thermal.roadscene_few import *

distiller.merge(
    dict(
        student="thermal",
        branches=dict(
            _delete_=True,
            rgb=dict(distiller.branches.thermal, model=dict(distiller.branches.thermal.model, in_chans=3), view=rgb),
            thermal=dict(distiller.branches.rgb, model=dict(distiller.branches.rgb.model, in_chans=1), view=thermal),
        ),
    )
)
distiller.terms.ce.merge(dict(student="thermal.output"))
distiller.terms.kd.merge(dict(student="thermal.output", teacher="rgb.output"))
for loader in (val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[thermal])))
