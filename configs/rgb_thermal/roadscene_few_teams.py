"""Is a team of thermal teachers better than one that had all of their training? RoadScene with a fifth of the labels, small networks.

    xkd compare configs/rgb_thermal/roadscene_few_teams.py

Distilled: the mean of three CNNs that began from other weights. Variants: the mean of a CNN, a ViT and a MobileNet; one CNN alone; one
CNN trained three times as long.
"""

import timm
from mmengine.config import read_base
from mmengine.optim import OptimWrapper

from xkd import Ensemble, Mean, TeacherCache

with read_base():
    from .roadscene_few import *

cnn = dict(type=timm.create_model, model_name="resnet10t", channels=(32, 64, 128, 256), stem_width=16, in_chans=1, num_classes=3)
mobile = dict(type=timm.create_model, model_name="mobilenetv4_conv_small_050", in_chans=1, num_classes=3)
transformer = dict(
    type=timm.create_model,
    model_name="vit_tiny_patch16_224",
    img_size=64,
    patch_size=8,
    depth=4,
    embed_dim=96,
    qk_norm=True,  # without it some seeds hardly learn from so few labels
    in_chans=1,
    num_classes=3,
)
small = dict(type=timm.create_model, model_name="resnet10t", channels=(16, 32, 64, 128), stem_width=16, num_classes=3)

short = dict(type=Trained, epochs=12)
teacher = dict(type=Branch, model=cnn, view=thermal, weights=short, frozen=True)
# from scratch it needs more epochs than a CNN, and so small it is slower in bfloat16
its_own = dict(type=Trained, epochs=30, options={"train_cfg.val_interval": 4, "optim_wrapper.type": OptimWrapper})
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="starts.output")
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        first=teacher,
        second=teacher,
        third=teacher,
        mobile=dict(teacher, model=mobile, weights=dict(type=Trained, epochs=16)),
        transformer=dict(teacher, model=transformer, weights=its_own),
        long=dict(teacher, weights=dict(type=Trained, epochs=36)),
        rgb=dict(type=Branch, model=small, view=rgb, weights=dict(type=Random)),
    ),
    ensembles=dict(
        starts=dict(type=Ensemble, of=("first.output", "second.output", "third.output"), by=dict(type=Mean, tau=4.0)),
        kinds=dict(type=Ensemble, of=("first.output", "mobile.output", "transformer.output"), by=dict(type=Mean, tau=4.0)),
    ),
    terms=dict(ce=distiller.terms.ce, kd=kd),
)
train_cfg.merge(dict(max_epochs=16))
teacher_cache = dict(type=TeacherCache, draws=8)
compare.merge(
    dict(
        variants=dict(
            kinds={"distiller.terms.kd.teacher": "kinds.output"},
            one={"distiller.terms.kd.teacher": "first.output"},
            long={"distiller.terms.kd.teacher": "long.output"},
        ),
        answers=dict(distilled=("starts", "kinds")),
    )
)
