"""Whether torch.compile finds the compiler that it needs on this machine."""

import os
import shutil

import torch


def compiler_problem(device: torch.device) -> str:
    """What torch.compile lacks for a device, with the remedy; "" if nothing.

    On a processor it builds C++ (CXX, else g++); on a GPU Triton builds a C stub (CC, else clang or gcc).
    """
    on_gpu = device.type == "cuda"
    variable, known = ("CC", ("clang", "gcc", "cc")) if on_gpu else ("CXX", ("g++",))
    named = os.environ.get(variable)
    wanted = (named,) if named else known
    if any(shutil.which(command.split()[0]) for command in wanted if command.split()):
        return ""
    language = "C" if on_gpu else "C++"
    what = f"{variable} is {named}, which is not there" if named else f"there is no {' or '.join(wanted)}"
    return f"no {language} compiler for torch.compile ({what}); install one, or set `compile: false`"
