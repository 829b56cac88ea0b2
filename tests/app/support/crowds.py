"""Pictures with several drawn heads, for the tests of the service."""

from PIL import Image

from tests.drawing import encode
from tests.faces import head_at, scene

# The largest is on the left, the second in the middle, the smallest on the right.
HEADS = (head_at(1, 130, 200, 50), head_at(2, 320, 260, 36), head_at(3, 540, 200, 28))
CROWD = encode(scene(*HEADS))
ALONE = encode(scene(head_at(0)))
OTHER = encode(scene(head_at(4)))
NOBODY = encode(Image.new("RGB", (300, 200), (90, 100, 110)))
EACH_ALONE = tuple(encode(scene(head)) for head in HEADS)
