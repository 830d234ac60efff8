"""The demo's student, searched for under a budget: small networks, one at two sizes of image, taught by the thermal transformer.

xkd search configs/rgb_thermal/leafsim_search.py --budget-ms 0.5 --precision int8 --controls --full
"""

from mmengine.config import read_base

from xkd import TeacherCache

with read_base():
    from .leafsim import *

# counted from the last, a stage is of the same stride in all of them
distiller.branches.rgb.taps.attention.merge(dict(path="stage:-2"))
teacher_cache = dict(type=TeacherCache, draws=8)
quarter = dict(name="resnet10t_quarter", model_name="resnet10t", channels=(16, 32, 64, 128), stem_width=16)
search = dict(
    candidates=[
        "mobilenetv3_small_050",
        "mobilenetv3_small_100",
        "mobilenetv4_conv_small_050",
        "mobilenetv4_conv_small",
        "lcnet_050",
        "regnetx_002",
        "resnet10t",
        quarter,
        dict(quarter, size=(48, 48)),
    ],
    rungs=(2, 4),  # with the last one of 16, not quite a third of the epochs of training nine to the end
)
