"""From the bytes of an image file to a photo, and from a photo to the crops that a network sees. Imports no torch."""
