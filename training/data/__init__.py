"""Archives, lists and prepared pictures."""
