"""FIR indoor the other way round: an RGB ResNet-18 teaches a ResNet-10t that sees 24x32 far-infrared pixels and nobody's face."""

from mmengine.config import read_base

with read_base():
    from ..rgb_thermal.fir_indoor import *

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
