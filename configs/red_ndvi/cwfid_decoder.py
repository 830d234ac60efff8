"""CWFID, pixel by pixel, with a decoder in the place of the 1x1 head: a quarter of the frame's pixels a side, where that had an eighth.

xkd compare configs/red_ndvi/cwfid_decoder.py
"""

from mmengine.config import read_base

from xkd import PixelDecoder

with read_base():
    from .cwfid_pixels import *

scales = dict(out_indices=(1, 2, 3))
decoder = dict(type=PixelDecoder, num_outputs=3, channels=32)
distiller.merge(
    dict(
        branches=dict(
            ndvi=dict(model=dict(decoder, _delete_=True, backbone=dict(teacher_network["backbone"], **scales))),
            rgb=dict(model=dict(decoder, _delete_=True, backbone=dict(student_network["backbone"], **scales))),
        )
    )
)
train_cfg.merge(dict(max_epochs=60, val_interval=6))
