"""Picture files, lists and albums of prepared pictures."""
