"""Shared by all packages, free of science: column names, errors, files, text, processes."""
