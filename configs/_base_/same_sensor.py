"""What a control makes of a teacher's graph: branch "rgb", on the student's camera, in the place of its own.

The config that takes it merges its view and its network into the branch.
"""

from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.taps import Tap

on_camera = dict(
    student="rgb",
    branches=dict(
        _delete_=True,
        rgb=dict(type=Branch, weights=dict(type=Random), taps=dict(attention=dict(type=Tap, path="stage:3", kind="attention"))),
    ),
    terms=dict(ce=dict(student="rgb.output")),
)
