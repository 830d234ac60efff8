"""Detection teaches classification: a detector that saw the boxes of a tenth of the leaves steers the classifier of all of them.

xkd detect-boxes coffee_leaf_lesions --sensor rgb --size 128 256 --fraction 0.1 --out data/coffee_leaf_boxes
"""

from mmengine.config import read_base

from xkd import Masks

with read_base():
    from .coffee_steered import *

# no mask is read in training; val and test keep theirs, and attention is measured against them
train_dataloader.merge(dict(dataset=dict(root="coffee_leaf_boxes", masks=dict(type=Masks, source="boxes"))))
compare.pop("variants")
