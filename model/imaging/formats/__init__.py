"""Image files as bytes, before anything decodes them: which format they have, how large and how intact they are."""
