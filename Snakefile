"""The workflow is in workflow/Snakefile; this file is where `snakemake` looks first."""


include: "workflow/Snakefile"


# A rule of an included file is no default target by itself.
workflow.default_target = "all"
