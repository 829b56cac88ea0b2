"""From what the network sees to an embedding, and from two embeddings to a logit."""
