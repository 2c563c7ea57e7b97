"""What every room stands on, and nothing of the science: column names, errors, files, text, processes."""
