"""The losses of networks' readings at their authors' weight, each as the terms to try in place of plain soft targets.

They stand on taps "deep", "pooled" and "attention".

A config makes them variants of its comparison, and says whose taps they are. Not among them: FSP, which wants networks of equal
channels, SigmoidKD, which is for several labels, CC, of which no authors' weight is known in this form, ReviewKD, which reads several
stages, OFD, which reads maps before their activation, and what needs masks.
"""

from xkd import (
    AT,
    CRD,
    CWD,
    DIST,
    DKD,
    ICKD,
    KD,
    MGD,
    NKD,
    NST,
    OFA,
    PKT,
    RKD,
    SP,
    VID,
    AttentionCosine,
    AttentionKL,
    Conv1x1,
    FitNet,
    ModalityDiscriminator,
    NormalizedDistance,
    OFAHead,
    Orthogonal,
    PooledLinear,
    Term,
    TokenSimilarity,
)

output = dict(type=Term, student="output", teacher="output")
deep = dict(type=Term, student="deep", teacher="deep")
pooled = dict(type=Term, student="pooled", teacher="pooled")
attention = dict(type=Term, student="attention", teacher="attention")
# CRD's negatives are drawn from the training rows, here some hundreds, for which its 16,384 are more than there is to know
losses = dict(
    kd_standardized=dict(kd=dict(output, loss=dict(type=KD, tau=2.0, standardize=True), weight=9.0)),
    dkd=dict(dkd=dict(output, loss=dict(type=DKD))),
    nkd=dict(nkd=dict(output, loss=dict(type=NKD))),
    dist=dict(dist=dict(output, loss=dict(type=DIST))),
    ofa=dict(
        ofa=dict(output, loss=dict(type=OFA)),
        ofa_deep=dict(output, student="deep", loss=dict(type=OFA), projector=dict(type=OFAHead)),
    ),
    fitnet=dict(fitnet=dict(deep, loss=dict(type=FitNet), projector=dict(type=Conv1x1), weight=100.0)),
    vid=dict(vid=dict(deep, loss=dict(type=VID))),
    at=dict(at=dict(deep, loss=dict(type=AT), weight=1000.0)),
    attention_cosine=dict(attention=dict(attention, loss=dict(type=AttentionCosine))),
    attention_kl=dict(attention=dict(attention, loss=dict(type=AttentionKL))),
    sp=dict(sp=dict(deep, loss=dict(type=SP), weight=3000.0)),
    rkd=dict(rkd=dict(pooled, loss=dict(type=RKD))),
    pkt=dict(pkt=dict(pooled, loss=dict(type=PKT), weight=30000.0)),
    nst=dict(nst=dict(deep, loss=dict(type=NST), weight=50.0)),
    ickd=dict(ickd=dict(deep, loss=dict(type=ICKD), projector=dict(type=Conv1x1, norm=True), weight=2.5)),
    crd=dict(crd=dict(pooled, loss=dict(type=CRD, num_rows=1, num_negatives=1024), weight=0.8)),
    cwd=dict(cwd=dict(deep, loss=dict(type=CWD), projector=dict(type=Conv1x1))),
    mgd=dict(mgd=dict(deep, loss=dict(type=MGD))),
    srd=dict(srd=dict(pooled, loss=dict(type=NormalizedDistance), projector=dict(type=PooledLinear), weight=2.0)),
    vkd=dict(vkd=dict(pooled, loss=dict(type=NormalizedDistance, variant="vkd"), projector=dict(type=Orthogonal))),
    token_similarity=dict(tokens=dict(deep, loss=dict(type=TokenSimilarity))),
    discriminator=dict(discriminator=dict(pooled, loss=dict(type=ModalityDiscriminator), projector=dict(type=PooledLinear))),
)
