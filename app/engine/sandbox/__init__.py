"""What decoders give up before they see an image."""
