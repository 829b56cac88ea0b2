"""The networks: from a crop to an embedding, and from two embeddings to the logit of "same person"."""
