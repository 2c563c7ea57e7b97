"""What is printed and drawn: tables, figures, findings."""
