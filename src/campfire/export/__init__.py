"""What a finished run hands on, in forms that others read: AnnData, a model folder, the gallery's layout, a crate.

Everything is made from the results folder of a run; nothing in it is changed.
"""
