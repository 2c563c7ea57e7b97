"""Evaluation of embeddings: sampling, probes, profiles, transfer, and the statistics behind their intervals."""
