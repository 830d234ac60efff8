"""Coffee leaves: the grade of their stress, 0 to 4; EfficientNet-Lite0 with ImageNet's weights teaches a ResNet that begins from nothing.

python datasets/coffee_leaf_lesions/prepare.py --source DIR --number severity --out data/coffee_leaf_severity
python tools/imagenet_weights.py lite0 --out weights
"""

from mmengine.config import read_base

with read_base():
    from .._base_.imagenet import *
    from .coffee_share import *

data_root = "coffee_leaf_severity"
rgb = dict(rgb, modality=dict(type=sensor, root=data_root, column="rgb"))
grades = 0.5  # about the error that is left
distiller.merge(
    dict(
        task=dict(numbers=dict(root=data_root)),
        branches=dict(
            _delete_=True,
            lite0=dict(
                type=Branch,
                model=dict(type=timm.create_model, model_name="tf_efficientnet_lite0", num_classes=1),
                view=rgb,
                weights=dict(type=Trained, start=imagenet),
                frozen=True,
            ),
            cnn=dict(distiller.branches.cnn, view=rgb),
        ),
        terms=dict(labels=dict(loss=dict(scale=grades)), kd=dict(loss=dict(scale=grades), teacher="lite0.output")),
    )
)
train_dataloader.merge(dict(dataset=dict(root=data_root, views=[rgb])))
evaluation = dict(evaluation, root=data_root, views=[rgb])
val_dataloader.merge(dict(dataset=dict(evaluation, split="val")))
test_dataloader.merge(dict(dataset=dict(evaluation, split="test")))

train_cfg.merge(dict(max_epochs=30, val_interval=3))
compare = dict(attention=dict(cnn="grad_cam:stage:3", lite0="grad_cam:stage:-1"))
