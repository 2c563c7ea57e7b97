"""Progress of a run in the terminal: one line per stage, instead of Snakemake's lines for each job."""
