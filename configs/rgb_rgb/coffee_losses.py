"""Which loss? Coffee leaves at 64 x 128 pixels: a small transformer teaches a small CNN by each loss in turn."""

import timm
from mmengine.config import read_base

from xkd import Conv1x1, MaskedFeature

with read_base():
    from .._base_.losses import *
    from .coffee import *

rgb.merge(dict(size=(64, 128)))
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.merge(dict(dataset=dict(views=[rgb])))
vit = dict(
    type=Branch,
    model=dict(teacher_network, img_size=(64, 128), patch_size=8, depth=4, embed_dim=96),
    view=rgb,
    weights=dict(type=Random),
    taps=dict(
        attention=dict(type=Tap, path="stage:-1", kind="attention"),
        deep=dict(type=Tap, path="stage:-1"),
        pooled=dict(type=Tap, path="fc_norm"),
    ),
)
cnn = dict(
    type=Branch,
    model=dict(type=timm.create_model, model_name="resnet10t", num_classes=5),
    view=rgb,
    weights=dict(type=Random),
    taps=dict(
        attention=dict(type=Tap, path="stage:3", kind="attention"),
        deep=dict(type=Tap, path="stage:3"),
        pooled=dict(type=Tap, path="global_pool"),
    ),
)
ce = dict(type=Term, loss=dict(type=CrossEntropy, label_smoothing=0.1), student="cnn.output", teacher="batch.target")
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="cnn.output", teacher="vit.output")
# so many students must be shorter than their teacher
teacher = dict(vit, weights=dict(type=Trained, epochs=60), frozen=True)
train_cfg.merge(dict(max_epochs=36))
distiller = dict(type=Distiller, student="cnn", task=task, branches=dict(vit=teacher, cnn=cnn), terms=dict(ce=ce, kd=kd))
losses.crd.crd.loss.merge(dict(num_rows=294))
losses.merge(dict(masked_feature=dict(masked=dict(deep, loss=dict(type=MaskedFeature), projector=dict(type=Conv1x1), weight=0.01))))
variants = {
    name: {key: dict(term, student=f"cnn.{term['student']}", teacher=f"vit.{term['teacher']}") for key, term in terms.items()}
    for name, terms in losses.items()
}
variants["mask_energy"] = dict(kd=kd, mask=dict(type=Term, loss=dict(type=MaskEnergy), student="cnn.attention", teacher="batch.mask"))
compare = dict(variants={name: {"distiller.terms": dict(terms, ce=ce)} for name, terms in variants.items()})
