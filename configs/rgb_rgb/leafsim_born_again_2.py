"""The second generation of born-again networks: what leafsim_born_again.py trains teaches once more.

xkd compare configs/rgb_rgb/leafsim_born_again_2.py --seeds 3
"""

from mmengine.config import read_base

from xkd import Checkpoint

with read_base():
    from .leafsim_born_again import *

distiller.branches.parent.merge(dict(weights=dict(_delete_=True, type=Checkpoint, path="work_dirs/leafsim_born_again/best.pth")))
compare = dict(teachers=dict(parent="leafsim_born_again.py"))
