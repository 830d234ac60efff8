"""Which loss? Coffee leaves at 64 x 128 pixels: the CNN teaches the transformer by each loss in turn."""

from mmengine.config import read_base

with read_base():
    from .coffee_losses import *

ce.merge(dict(student="vit.output"))
kd.merge(dict(student="vit.output", teacher="cnn.output"))
teacher = dict(cnn, weights=dict(type=Trained, epochs=60), frozen=True, bfloat16=True)
distiller = dict(type=Distiller, student="vit", task=task, branches=dict(cnn=teacher, vit=vit), terms=dict(ce=ce, kd=kd))
variants = {
    name: {key: dict(term, student=f"vit.{term['student']}", teacher=f"cnn.{term['teacher']}") for key, term in terms.items()}
    for name, terms in losses.items()
}
variants["mask_energy"] = dict(kd=kd, mask=dict(type=Term, loss=dict(type=MaskEnergy), student="vit.attention", teacher="batch.mask"))
compare = dict(variants={name: {"distiller.terms": dict(terms, ce=ce)} for name, terms in variants.items()})
