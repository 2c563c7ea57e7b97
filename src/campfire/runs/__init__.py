"""What a config asks for, what it costs, and what was done. The science never imports this package."""
