"""Which loss? RoadScene with a fifth of the labels: a thermal transformer teaches the RGB ResNet-10t by each loss in turn."""

from mmengine.config import read_base

from xkd import HKD, IRG, MLKD, POD, WKD, ReviewKD, Term

with read_base():
    from .._base_.losses import *
    from .roadscene_few_vit import *

maps = dict(mid=dict(type=Tap, path="stage:2"), deep=dict(type=Tap, path="stage:3"))
distiller.branches.rgb.taps.merge(dict(maps, pooled=dict(type=Tap, path="global_pool")))
distiller.branches.thermal.taps.merge(dict(maps, pooled=dict(type=Tap, path="fc_norm")))
losses.crd.crd.loss.merge(dict(num_rows=1079))
variants = {
    name: {key: dict(term, student=f"rgb.{term['student']}", teacher=f"thermal.{term['teacher']}") for key, term in terms.items()}
    for name, terms in losses.items()
}
# what reads several maps or logits with features; CATKD wants class activation maps, OFD a teacher with batch normalisation
review = dict(type=Term, loss=dict(type=ReviewKD), student=("rgb.mid", "rgb.deep"), teacher=("thermal.mid", "thermal.deep"))
pod = dict(type=Term, loss=dict(type=POD), student="rgb.deep", teacher="thermal.deep", projector=dict(type=Conv1x1), weight=3.0)
mlkd = dict(type=Term, loss=dict(type=MLKD), student="rgb.output", teacher="thermal.output", weight=9.0)
wkd = dict(type=Term, loss=dict(type=WKD), student="rgb.output", teacher=("thermal.output", "thermal.pooled"))
# graphs over several readings; as for CRD, there are no more rows than some hundreds to tell a row from
irg = dict(type=Term, loss=dict(type=IRG), student=("rgb.deep", "rgb.pooled", "rgb.output"))
hkd = dict(type=Term, loss=dict(type=HKD, num_rows=1079, num_negatives=1024), student=("rgb.pooled", "rgb.output"), weight=3.0)
variants.update(
    review=dict(review=review),
    pod=dict(pod=pod),
    mlkd=dict(mlkd=mlkd),
    wkd=dict(wkd=wkd),
    irg=dict(irg=dict(irg, teacher=("thermal.deep", "thermal.pooled", "thermal.output"))),
    hkd=dict(hkd=dict(hkd, teacher=("thermal.pooled", "thermal.output"))),
)
compare.merge(dict(variants={name: {"distiller.terms": dict(terms, ce=distiller.terms.ce)} for name, terms in variants.items()}))
