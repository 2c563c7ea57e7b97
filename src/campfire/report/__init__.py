"""The report of a run: tables, figures, findings."""
