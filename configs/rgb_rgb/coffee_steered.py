"""Coffee leaves, steered by few masks: the student's Grad-CAM is drawn into the lesions, a hybrid transformer's soft targets beside it."""

from mmengine.config import read_base

from xkd import GradCAM

with read_base():
    from .coffee import *

# the grid of stage 2 is 6 x 12, of stage 3 it is 3 x 6: lesions are small
distiller.branches.cnn.merge(
    dict(
        taps=dict(attention=dict(type=Tap, path="stage:2", kind="attention")),
        explanations=dict(cam=dict(type=GradCAM, path="stage:2", classes="batch.target", signed=True)),
    )
)
# a transformer with a convolutional stem learns more from few photographs; a token is 4 x 4 cells of the stem's map, 16 x 16 pixels
distiller.branches.vit.model.merge(dict(model_name="vit_tiny_r_s16_p8_224", patch_size=4))
distiller.terms.mask.merge(dict(student="cnn.cam"))
# the teacher has its 60 epochs; a learned Grad-CAM makes a step half as long again
train_cfg.merge(dict(max_epochs=40))
shares = {"masks_1_percent": 0.01, "masks_5_percent": 0.05}
compare.merge(
    dict(
        attention=dict(cnn="grad_cam:stage:2", vit="tap:attention"),
        object=("leaf", "lesion"),
        variants={name: {"train_dataloader.dataset.masks.fraction": share} for name, share in shares.items()},
    )
)
