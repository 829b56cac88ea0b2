"""Every change of a photograph that is measured; each with the condition that its pictures are in."""

from training.data.camera_changes import CAMERA_CHANGES
from training.data.change import Change
from training.data.covers import COVERS
from training.data.drawings import DRAWINGS

NONE = Change(name="as they are", condition="", apply=lambda pixels, _, __, ___: pixels, spans={})
CHANGES = (*CAMERA_CHANGES, *COVERS, *DRAWINGS)
