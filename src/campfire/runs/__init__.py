"""What a config requests, what it costs, and what was done. The science never imports this package."""
