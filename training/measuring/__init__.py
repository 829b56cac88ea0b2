"""What a finished checkpoint is measured on."""
