"""Pictures with several drawn heads, for the tests of the service."""

from PIL import Image

from tests.drawing import encode
from tests.faces import beheld, scene

# The largest is on the left, the second in the middle, the smallest on the right.
HEADS = (beheld(1, 130, 200, 50), beheld(2, 320, 260, 36), beheld(3, 540, 200, 28))
CROWD = encode(scene(*HEADS))
ALONE = encode(scene(beheld(0)))
OTHER = encode(scene(beheld(4)))
NOBODY = encode(Image.new("RGB", (300, 200), (90, 100, 110)))
EACH_ALONE = tuple(encode(scene(head)) for head in HEADS)
