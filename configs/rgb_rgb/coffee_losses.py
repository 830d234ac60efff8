"""Which loss? Coffee leaves: a transformer teaches a CNN by each loss in turn."""

from mmengine.config import read_base

from xkd.graph.distiller import Distiller
from xkd.graph.weights import Checkpoint
from xkd.losses import KD, MaskedFeature, MaskEnergy
from xkd.projectors import Conv1x1

with read_base():
    from .._base_.coffee_small import *
    from .._base_.losses import *

teacher = dict(vit, weights=dict(type=Checkpoint, path="work_dirs/coffee_small_vit/best.pth"), frozen=True)
ce = dict(supervision, student="cnn.output")
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="cnn.output", teacher="vit.output")
distiller = dict(type=Distiller, student="cnn", task=task, branches=dict(vit=teacher, cnn=cnn), terms=dict(ce=ce, kd=kd))
# the teacher has the 60 epochs of its own config; so many students must be shorter
train_cfg.merge(dict(max_epochs=36))
losses.crd.crd.loss.merge(dict(num_rows=294))
losses.merge(dict(masked_feature=dict(masked=dict(deep, loss=dict(type=MaskedFeature), projector=dict(type=Conv1x1), weight=0.01))))
variants = {
    name: {key: dict(term, student=f"cnn.{term['student']}", teacher=f"vit.{term['teacher']}") for key, term in terms.items()}
    for name, terms in losses.items()
}
variants["mask_energy"] = dict(kd=kd, mask=dict(type=Term, loss=dict(type=MaskEnergy), student="cnn.attention", teacher="batch.mask"))
compare = dict(
    teachers=dict(vit="coffee_small_vit.py"),
    variants={name: {"distiller.terms": dict(terms, ce=ce)} for name, terms in variants.items()},
)
