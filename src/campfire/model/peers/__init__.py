"""Networks of related encoders, built from their published descriptions, under their authors' parameter names.

One module per peer; `layers` holds what several share, `weights` reads their files, `prepare` scales their tiles. Where
a peer's published code has a defect, the authors' form reproduces their weights and a sound form is there for training;
each module says which is which.
"""
