"""Coffee leaves, steered by few masks: the student's Grad-CAM is drawn into the lesions, a hybrid transformer's soft targets beside it."""

from mmengine.config import read_base

from xkd.graph.explanation import GradCAM

with read_base():
    from .coffee import *

# the grid of stage 2 is 6 x 12, of stage 3 it is 3 x 6: lesions are small
distiller.branches.cnn.merge(
    dict(
        taps=dict(attention=dict(type=Tap, path="stage:2", kind="attention")),
        explanations=dict(cam=dict(type=GradCAM, path="stage:2", classes="batch.target", signed=True)),
    )
)
distiller.branches.vit.merge(
    dict(
        model=dict(hybrid_network, _delete_=True),
        weights=dict(path="work_dirs/coffee_steered_teacher/best.pth"),
    )
)
distiller.terms.mask.merge(dict(student="cnn.cam"))
# the teacher has the 60 epochs of its own config; a learned Grad-CAM makes a step half as long again
train_cfg.merge(dict(max_epochs=40))
shares = {"masks_1_percent": 0.01, "masks_5_percent": 0.05}
compare.merge(
    dict(
        teachers=dict(vit="coffee_steered_teacher.py"),
        attention=dict(cnn="grad_cam:stage:2", vit="tap:attention"),
        object=("leaf", "lesion"),
        variants={name: {"train_dataloader.dataset.masks.fraction": share} for name, share in shares.items()},
    )
)
