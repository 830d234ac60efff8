"""Which loss? RoadScene with a fifth of the labels: a thermal transformer teaches the RGB ResNet-10t by each loss in turn."""

from mmengine.config import read_base

from xkd import HKD, IRG, Term

with read_base():
    from .._base_.losses import *
    from .roadscene_few_vit import *

distiller.branches.rgb.taps.merge(dict(deep=dict(type=Tap, path="stage:3"), pooled=dict(type=Tap, path="global_pool")))
distiller.branches.thermal.taps.merge(dict(deep=dict(type=Tap, path="stage:3"), pooled=dict(type=Tap, path="fc_norm")))
losses.crd.crd.loss.merge(dict(num_rows=1079))
variants = {
    name: {key: dict(term, student=f"rgb.{term['student']}", teacher=f"thermal.{term['teacher']}") for key, term in terms.items()}
    for name, terms in losses.items()
}
# graphs over several readings; as for CRD, there are no more rows than some hundreds to tell a row from
irg = dict(type=Term, loss=dict(type=IRG), student=("rgb.deep", "rgb.pooled", "rgb.output"))
hkd = dict(type=Term, loss=dict(type=HKD, num_rows=1079, num_negatives=1024), student=("rgb.pooled", "rgb.output"), weight=3.0)
variants.update(
    irg=dict(irg=dict(irg, teacher=("thermal.deep", "thermal.pooled", "thermal.output"))),
    hkd=dict(hkd=dict(hkd, teacher=("thermal.pooled", "thermal.output"))),
)
compare.merge(dict(variants={name: {"distiller.terms": dict(terms, ce=distiller.terms.ce)} for name, terms in variants.items()}))
