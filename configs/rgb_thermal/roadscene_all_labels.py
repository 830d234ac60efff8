"""RoadScene with all labels, where plain soft targets bring nothing: what else may? Each way is an arm with its control.

    xkd compare configs/rgb_thermal/roadscene_all_labels.py --seeds 1 --arms teacher alone distilled shuffled standardized fitnet \
        relations frequencies feature_frequencies extended alone_extended mixed alone_mixed cold light gated early_teacher \
        smooth_teacher c2kd c2kd_ungated

One seed screens them, `best on val` chooses; more seeds and the arm's own shuffled pairs confirm or refute it:

    xkd compare configs/rgb_thermal/roadscene_all_labels.py --seeds 5 --arms teacher alone distilled shuffled NAME NAME_shuffled

`extended` and `mixed` are held against `alone_extended` and `alone_mixed`, `c2kd` against `c2kd_ungated`, all others against `alone` and
`distilled`. `alone_extended` has the steps that the distilled student and its teacher have together.
"""

from mmengine.config import read_base

from xkd import MLP, FrequencySplit, Head, Mix, SameOrder, Shuffle

with read_base():
    from .._base_.losses import *
    from .roadscene import *

# at 64 pixels the last stage is 2 x 2, which is too coarse for features with a slow and a fast part
taps = dict(deep=dict(type=Tap, path="stage:2"), pooled=dict(type=Tap, path="global_pool"))
for branch in distiller.branches.values():
    branch.taps.merge(taps)
losses = dict(
    standardized=losses.kd_standardized,
    fitnet=losses.fitnet,
    relations=losses.rkd,
    frequencies=dict(split=dict(deep, loss=dict(type=FrequencySplit), projector=dict(type=Conv1x1))),
    feature_frequencies=dict(split=dict(pooled, loss=dict(type=FrequencySplit, variant="fd_cmkd", high=1.0), projector=dict(type=MLP))),
)
terms = {
    name: {key: dict(term, student=f"rgb.{term['student']}", teacher=f"thermal.{term['teacher']}") for key, term in of.items()}
    for name, of in losses.items()
}

# C2KD: both learn, each beside a proxy on its last features; what the two know meets in the proxies, on rows that they order alike. Its
# authors begin with a trained teacher, and their code sets the label's logit to 0 where DKD leaves the label out
proxy = dict(proxy=dict(type=Head, tap="pooled", module=dict(type=MLP)))
student = distiller.branches.rgb
peer = dict(type=Branch, model=teacher_network, view=thermal, weights=dict(type=Random), taps=taps, heads=proxy)
ce = distiller.terms.ce
same = dict(type=Term, loss=dict(type=KD, tau=1.0))
others = dict(type=Term, loss=dict(type=DKD, alpha=0.0, beta=1.0, tau=1.0))  # the classes that are not the label's
gate = dict(type=SameOrder, reading=("rgb.proxy", "thermal.proxy"))
beside = dict(
    ce=ce,
    ce_thermal=dict(ce, student="thermal.output"),
    rgb_to_proxy=dict(same, student="rgb.proxy", teacher="rgb.output"),
    proxy_to_rgb=dict(same, student="rgb.output", teacher="rgb.proxy"),
    thermal_to_proxy=dict(same, student="thermal.proxy", teacher="thermal.output"),
    proxy_to_thermal=dict(same, student="thermal.output", teacher="thermal.proxy"),
)
to_rgb, to_thermal = dict(others, student="rgb.proxy", teacher="thermal.proxy"), dict(others, student="thermal.proxy", teacher="rgb.proxy")
both = {"distiller.branches": dict(thermal=peer, rgb=dict(student, heads=proxy))}

alone = {"distiller.branches": dict(rgb=student), "distiller.terms": dict(ce=ce), "train_dataloader.dataset.views": [rgb]}
extended = {"train_cfg.max_epochs": 40}
mix = {"train_dataloader.mix": dict(type=Mix, num_classes=3)}
smooth = {"distiller.terms.ce.loss.label_smoothing": 0.1}
taught = dict(
    {name: {"distiller.terms": dict(of, ce=ce)} for name, of in terms.items()},
    extended=extended,
    mixed=mix,
    cold={"distiller.terms.kd.loss.tau": 1.0},
    light={"distiller.terms.kd.weight": 0.25},
    gated={"distiller.terms.kd.gate": dict(gate, reading=("rgb.output", "thermal.output"))},
    early_teacher={"distiller.branches.thermal.weights": dict(type=Trained, epochs=6)},
    smooth_teacher={"distiller.branches.thermal.weights": dict(type=Trained, epochs=16, options=smooth)},
    c2kd={**both, "distiller.terms": dict(beside, to_rgb=dict(to_rgb, gate=gate), to_thermal=dict(to_thermal, gate=gate))},
    c2kd_ungated={**both, "distiller.terms": dict(beside, to_rgb=to_rgb, to_thermal=to_thermal)},
)
strangers = {"train_dataloader.dataset.shuffle": dict(type=Shuffle, anchor="rgb")}
compare.merge(
    dict(
        variants=dict(
            taught,
            alone_extended={**alone, **extended},
            alone_mixed={**alone, **mix},
            **{f"{name}_shuffled": {**change, **strangers} for name, change in taught.items()},
        ),
    )
)
