"""What embeddings are worth: sampling, probes, profiles, transfer, and the statistics behind their intervals."""
