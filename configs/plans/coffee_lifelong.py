"""Diseases of coffee leaves in three stages: what a small CNN still knows of the first when it has learned the last.

    xkd plan configs/plans/coffee_lifelong.py --seeds 3

What the chains are is in configs/_base_/lifelong.py. Val and test have few leaves of cercospora.
"""

from mmengine.config import read_base

with read_base():
    from ..rgb_rgb.coffee_step import *

tasks = (("healthy", "rust"), ("miner", "cercospora"), ("phoma",))
tests = tests_of(tasks)
stages = stages_of("../rgb_rgb/coffee_step.py", tasks, net, per_class=10)
