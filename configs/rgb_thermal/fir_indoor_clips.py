"""Real clips: a network that sees a room at 96 x 128 pixels teaches one that sees it at 24 x 32; others are taught by far infrared.

    python datasets/fir_indoor_clips/prepare.py --source DIR --out data/fir_indoor_clips
    xkd compare configs/rgb_thermal/fir_indoor_clips.py --seeds 3 --controls

What clipsim.py is, with every clip labelled. One clip in five has frames of the array: where they are missing, its teacher says nothing.
Intervals are over recordings, of which the test split has three: too few for a claim.
"""

from mmengine.config import read_base

with read_base():
    from .clipsim import *

data_root = "fir_indoor_clips"
size = (96, 128)
clip = dict(clip, sensor=dict(camera, root=data_root))
# about eight frames a second: every third of them makes eight last as long as the camera's
array = dict(clip, sensor=dict(type=sensor, root=data_root, column="thermal"), every=3)
high = dict(high, modality=clip, size=size)
heat = dict(heat, modality=array, size=(48, 64))
low = dict(low, modality=clip, size=(24, 32))

distiller.merge(
    dict(
        task=dict(classes=("upright", "sit", "lie", "transition")),
        branches=dict(full=dict(view=high), thermal=dict(view=heat), edge=dict(view=low)),
    )
)
# the camera looks down: no side is up
turned = dict(type=Augment, flip=0.5, vertical_flip=0.5, rotate=10.0, scale=(0.85, 1.1), shift=0.05)
train_dataloader.merge(
    dict(
        sampler=dict(_delete_=True, shuffle=True),
        dataset=dict(root=data_root, views=[low, high, heat], augment=turned, labels=dict(fraction=1.0)),
    )
)
val_dataloader.merge(dict(dataset=dict(root=data_root, views=[low])))
test_dataloader.merge(dict(dataset=dict(root=data_root, views=[low])))

train_cfg.merge(dict(max_epochs=40, val_interval=4))
one = dict(low, modality=dict(clip, frames=1))
compare.merge(
    dict(
        cluster="group",
        variants=dict(
            one_frame={
                "distiller.branches.edge.view": one,
                "train_dataloader.dataset.views": [one, high, heat],
                "val_dataloader.dataset.views": [one],
                "test_dataloader.dataset.views": [one],
            }
        ),
    )
)
