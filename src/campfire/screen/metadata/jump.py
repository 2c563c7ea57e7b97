"""Facts of JUMP's compound screen: roles of plates, controls, the plates that the paper holds out."""

ROLES = ("id", "ood", "train")
"""id: in-distribution evaluation plate; ood: evaluation plate held out of training; train: training only."""

NEGATIVE_CONTROL = "JCP2022_033924"
POSITIVE_CONTROLS = {
    "JCP2022_085227": "aloxistatin",
    "JCP2022_037716": "AMG900",
    "JCP2022_025848": "dexamethasone",
    "JCP2022_046054": "FK-866",
    "JCP2022_035095": "LY2109761",
    "JCP2022_064022": "NVS-PAK1-1",
    "JCP2022_050797": "quinidine",
    "JCP2022_012818": "TC-S-7004",
}
CONTROLS = (NEGATIVE_CONTROL, *POSITIVE_CONTROLS)
"""DMSO and the 8 positive controls of JUMP's compound plates (JUMP perturbation_control.csv; paper section 2.1)."""

UNTREATED = "JCP2022_999999"
"""JUMP's code of a well without any compound or DMSO (perturbation_control.csv, type "empty")."""

PAPER_OOD_PLATES = ("JCPQC034", "JCPQC051", "JCPQC052", "JCPQC053", "JCPQC054")
"""The TARGET2 plates that the release holds out of training."""
