"""From the bytes of an image file to what a network sees of it, uint8. Imports no torch."""
