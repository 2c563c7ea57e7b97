"""What runs again after an edit: for each, exactly these rules of exactly these plates, encoders and channel sets."""

from collections.abc import Callable

import pytest

from campfire.runs import fingerprint as reach
from support.plans import (
    PLATES,
    TRANSFER,
    Plan,
    Run,
    figures,
    pairs,
    planned,
    plates,
    probed,
    tables,
    transfer_sheet,
)

pytestmark = pytest.mark.workflow

EVERYTHING = PLATES + TRANSFER
CLOSING = "findings write_page provenance"
TABLES = tables("ranking accuracies table_3_1 table_3_2 differences gaps protocols")
FIGURES_OF_TABLES = figures("figure_3_4 ood_gap claims")
PROFILES = planned(tables("profiles retrieval variance"), figures("profiles"))
SCORED = planned(TABLES, FIGURES_OF_TABLES, figures("confusion typical"), tables("leakage"), PROFILES, CLOSING)
"""What is made of probe scores."""
MOVED = planned("zprime", tables("transfer"), figures("figure_3_5"), CLOSING)
"""What is made of the transfer screen's wells."""
SPLIT = planned("assign_wells reconstruct_unseen", tables("quadrants"), figures("figure_2_1 cells typical unseen"))
EMBEDDED = figures("embedding_map similarity")
"""What is drawn from the embeddings of the first encoder."""
PRETRAINED = planned("reconstruct_unseen", figures("figure_3_3 training_curves unseen"))
ATTRITION = planned("count_attrition", tables("attrition"))
DRAWN = planned(
    figures("figure_2_1 figure_2_2 figure_3_3 training_curves figure_3_5 confusion profiles cells typical unseen"),
    *(EMBEDDED, FIGURES_OF_TABLES, "plate_layout", CLOSING),
)
PAIRS = ["campfire/DNA", "campfire/DNA_AGP_Mito", "campfire/DNA_ER_RNA", "untrained/DNA_AGP_Mito"]
TRAINED = PAIRS[:3]


JUMP_TILES = [
    *("sample", pairs(*PAIRS), "pretrain_run embed_transfer transfer_head plate_layout", ATTRITION),
    *(PRETRAINED, EMBEDDED, SCORED, MOVED),
]
"""What is made of the tiles of an evaluation plate, whichever it is."""
TILES = [*JUMP_TILES, figures("cells"), "sample_transfer"]
"""What is made of all tiles, those of the transfer screen included."""
SPLIT_AGAIN = [SPLIT, *JUMP_TILES]


VERIFY = "src/campfire/images/gallery/verify.py"
LISTED = ("embed", "probe", "profile", "leakage_effects", "table", "figure")
Edit = Callable[[Run], object]
CASES: dict[str, tuple[Edit, Plan]] = {
    "nothing": (lambda run: None, {}),
    "a comment in a script": (
        lambda run: run.edit("workflow/scripts/probe.py", "log = job", "# why\nlog = job"),
        {},
    ),
    "a docstring, a layout and an annotation in the library": (
        lambda run: (
            run.edit("src/campfire/core/files.py", '"""Write UTF-8 text atomically."""', '"""Write."""'),
            run.edit(
                "src/campfire/core/files.py",
                "def write_text(path: str | Path, text: str)",
                "def write_text(path, text)",
            ),
        ),
        {},
    ),
    "a real change in a script": (
        lambda run: run.edit("workflow/scripts/zprime.py", "read_table(", "read_table(*[], "),
        MOVED,
    ),
    "a library function that one stage uses": (
        lambda run: run.edit("src/campfire/evaluation/statistics.py", "def ood_gaps(", "def ood_gaps(gap=0, *, "),
        planned(tables("gaps"), figures("ood_gap"), CLOSING),
    ),
    "a library function that many stages use": (
        lambda run: run.edit("src/campfire/report/figures/style.py", "DPI = 200", "DPI = 300"),
        DRAWN,
    ),
    "the function that writes every table": (
        lambda run: run.edit("src/campfire/core/files.py", 'compression="zstd"', 'compression="snappy"'),
        {},
    ),
    "how a job starts, a log line and the text of an error": (
        lambda run: (
            run.edit("src/campfire/runs/job.py", 'f"%(asctime)s {name}', 'f"{name}'),
            run.edit("src/campfire/images/gallery/download.py", "log.info(", "log.info('now: ' + "),
            run.edit(VERIFY, "raise BadObjectError(", "raise BadObjectError('bad: ' + "),
        ),
        {},
    ),
    "what counts as a good image": (
        lambda run: run.edit(VERIFY, "def check_image(", "def check_image(more=0, *, "),
        planned(plates(*EVERYTHING), *TILES),
    ),
    "a library function that no stage uses": (
        lambda run: run.edit(
            "src/campfire/model/released_checkpoint.py", "def save_checkpoint(", "def save_checkpoint(more=1, *, "
        ),
        {},
    ),
    "a figure's colour": (
        lambda run: run.edit("src/campfire/report/figures/figure_2_1.py", "color=INK", "color=GREY"),
        planned(figures("figure_2_1"), CLOSING),
    ),
    "how a contact sheet is drawn: its images are gone": (
        lambda run: run.edit("src/campfire/report/figures/contact_sheet.py", "DIM = 0.75", "DIM = 0.5"),
        planned("provenance"),
    ),
    "the code of one table": (
        lambda run: run.edit("src/campfire/report/tables/protocols.py", 'line["Wells"]', 'line["n"]'),
        planned(tables("protocols"), CLOSING),
    ),
    "the code of one figure": (
        lambda run: run.edit("src/campfire/report/figures/claims.py", "0.135 * lines", "0.14 * lines"),
        planned(figures("claims"), CLOSING),
    ),
    "a caption": (
        lambda run: run.edit("src/campfire/report/captions.py", "Which differences hold up?", "Which ones hold up?"),
        planned(CLOSING),
    ),
    "comments and the order of keys in the config": (
        lambda run: run.rewrite_config(
            lambda text: (
                "# first\n"
                + text.replace("wells_train: 14 ", "wells_train: 14   # wells ").replace(
                    "  seed: 10                             # [R]\n  held_out: 60                         # [P 2.1]\n",
                    "  held_out: 60\n  seed: 10\n",
                )
            )
        ),
        {},
    ),
    "how the machine works": (
        lambda run: run.configure(
            s3={"workers": 3, "endpoint_url": "http://mirror:9000", "attempts": 2},
            pretrain={"runs": {"campfire": {"log_steps": 3, "checkpoint_minutes": 5.0}}},
            nuclei={"batch_size": 7},
            embed={"batch_size": 9},
            transfer={"head": {"checkpoint_every": 2}},
        ),
        {},
    ),
    "the source of the images": (
        lambda run: run.configure(s3={"prefix": "cpg0017-other"}),
        planned(plates(*EVERYTHING), *TILES),
    ),
    "the split": (
        lambda run: run.configure(split={"seed": 11}),
        planned(plates(*PLATES), *SPLIT_AGAIN),
    ),
    "illumination": (lambda run: run.configure(illumination="gallery"), planned(plates(*EVERYTHING), *TILES)),
    "quality": (lambda run: run.configure(quality={"focus_min": 0.5}), planned(plates(*EVERYTHING), *TILES)),
    "nuclei": (lambda run: run.configure(nuclei={"diameter_um": 21.0}), planned(plates(*EVERYTHING), *TILES)),
    "tiles": (lambda run: run.configure(tiles={"dtype": "uint8"}), planned(plates(*EVERYTHING), *TILES)),
    "sample": (
        lambda run: run.configure(sample={"seed": 3}),
        planned(pairs(*PAIRS), "sample sample_transfer embed_transfer transfer_head", EMBEDDED, SCORED, MOVED),
    ),
    "pretrain": (
        lambda run: run.configure(pretrain={"runs": {"campfire": {"epochs": 40}}}),
        planned(*(pairs(*TRAINED), "pretrain_run embed_transfer transfer_head", PRETRAINED, EMBEDDED, SCORED, MOVED)),
    ),
    "embed": (
        lambda run: run.configure(embed={"cells": "all"}),
        planned(pairs(*PAIRS), "embed_transfer transfer_head", EMBEDDED, SCORED, MOVED),
    ),
    "one more channel set": (
        lambda run: run.configure(
            evaluate=[
                {"encoder": "campfire", "channel_sets": ["DNA", "DNA_AGP", "DNA_AGP_Mito", "DNA_ER_RNA"]},
                {"encoder": "untrained", "channel_sets": ["DNA_AGP_Mito"]},
            ]
        ),
        # Cheap tables that do not show it run too: the sets' names are among the options that all tables have.
        planned(
            *(pairs("campfire/DNA_AGP"), TABLES, FIGURES_OF_TABLES, tables("leakage transfer"), PROFILES),
            *(figures("cells typical"), CLOSING),
        ),
    ),
    "an encoder that nothing uses": (
        lambda run: run.configure(encoders={"dino_vits8": {"size": "native"}}),
        planned("provenance"),
    ),
    "probe epochs": (lambda run: run.configure(probe={"epochs": 50}), planned(probed(*PAIRS), SCORED)),
    "the transfer head": (
        lambda run: run.configure(transfer={"head": {"epochs": 50}}),
        planned("transfer_head", MOVED),
    ),
    "Z'": (lambda run: run.configure(transfer={"zprime": {"replicates": 50}}), planned(MOVED)),
    "a label": (
        lambda run: run.configure(tables={"labels": {"campfire": "Ours"}}),
        planned(
            *(
                TABLES,
                FIGURES_OF_TABLES,
                tables("leakage transfer"),
                PROFILES,
                figures("figure_3_5 training_curves"),
                EMBEDDED,
            ),
            CLOSING,
        ),
    ),
    "one plate added": (
        lambda run: run.edit("plates.tsv", "s\tB1\tT2", "s\tB1\tT3\tCOMPOUND\ttrain\ns\tB1\tT2"),
        planned(plates(*PLATES, "T3"), *SPLIT_AGAIN),
    ),
    "one plate added to the transfer screen": (
        lambda run: (run.folder / "transfer.tsv").write_text(transfer_sheet(["M1", "M3", "M2"])),
        planned(plates("M3"), "sample_transfer embed_transfer transfer_head plate_layout", ATTRITION, MOVED),
    ),
    "one plate's image known to be bad": (
        lambda run: run.edit(
            "config/known_bad.tsv", "key\treason", "key\treason\ncpg0016-jump/s/images/B1/images/Q2/Images/x.tiff\tbad"
        ),
        planned(plates("Q2"), *JUMP_TILES),
    ),
    "a training plate left out": (
        lambda run: run.configure(leave_out={"T1": "lamp"}),
        planned(
            *("pretrain_run embed_transfer transfer_head plate_layout", ATTRITION, pairs(*TRAINED)),
            *(PRETRAINED, EMBEDDED, SCORED, MOVED, tables("quadrants"), figures("figure_2_1")),
        ),
    ),
    "a well of an evaluation plate left out": (
        lambda run: run.configure(leave_out={"Q3/A01": "fibre"}),
        planned(
            *("sample", ATTRITION, pairs(*PAIRS), EMBEDDED, SCORED, tables("quadrants"), figures("figure_2_1 cells")),
        ),
    ),
}
"""An edit, and what runs again after it."""


@pytest.mark.parametrize("edit", CASES)
def test_an_edit_reruns_what_it_affects_and_no_more(run: Run, finished: Run, edit: str) -> None:
    change, expected = CASES[edit]
    change(run)
    assert shown(run.plan()) == shown(expected)


def shown(plan: Plan) -> dict[str, list[str]]:
    """A plan that can be compared: rules that have one job say nothing of it."""
    single = {"": "*", "campfire": "*", "campfire/DNA_AGP_Mito": "*"}
    return {
        rule: sorted({single.get(job, job) for job in jobs} if rule not in LISTED else jobs)
        for rule, jobs in sorted(plan.items())
    }


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("matplotlib", DRAWN),
        ("scikit-learn", planned({"profile": ["campfire/DNA_AGP_Mito", "untrained/DNA_AGP_Mito"]}, PROFILES, CLOSING)),
        (
            "timm",
            planned(pairs(*PAIRS), "pretrain_run embed_transfer transfer_head", PRETRAINED, EMBEDDED, SCORED, MOVED),
        ),
        ("boto3", {}),
        ("pyarrow", {}),
    ],
)
def test_a_new_version_of_a_library(run: Run, monkeypatch: pytest.MonkeyPatch, library: str, expected: Plan) -> None:
    installed = reach.version
    monkeypatch.setattr(reach, "version", lambda name: "99.1" if name == library else installed(name))
    assert shown(run.plan()) == shown(expected)


def test_a_correction_of_a_library_reruns_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = reach.version
    monkeypatch.setattr(reach, "version", lambda name: f"{installed(name)}.post1")
    assert run.plan() == {}


def test_a_fresh_clone_with_new_times_reruns_nothing(run: Run) -> None:
    """Results and Snakemake's records are copied in; every other file is new."""
    for path in run.folder.rglob("*"):
        inside = path.relative_to(run.folder).parts[0]
        if path.is_file() and inside not in ("results", ".snakemake"):
            path.touch()
    assert run.plan() == {}


def test_one_plate_fetched_again(run: Run) -> None:
    """What changed at the source nobody can see: the plate's download is forced, the rest follows."""
    expected = planned(
        *(plates("T1"), "pretrain_run embed_transfer transfer_head plate_layout", ATTRITION, pairs(*TRAINED)),
        *(PRETRAINED, EMBEDDED, SCORED, MOVED),
    )
    assert shown(run.plan(force=["results/download/T1.parquet"])) == shown(expected)


def test_a_split_made_first_leaves_plates_alone_whose_wells_stay(run: Run) -> None:
    """`snakemake split`, then the rest: of the changed split only the plates with other wells are fetched again."""
    run.edit("plates.tsv", "s\tB1\tT2", "s\tB1\tT3\tCOMPOUND\ttrain\ns\tB1\tT2")
    run.complete("assign_wells", changed=["results/split/wells.parquet", "results/split/plates/T1.tsv"])
    expected = planned(plates("T1", "T3"), *JUMP_TILES, tables("quadrants"), figures("figure_2_1 cells"))
    assert shown(run.plan()) == shown(expected)


def test_an_output_that_is_gone_is_made_again(run: Run) -> None:
    """A lost table is remade alone; lost tiles need the plate's images, which were temporary."""
    (run.folder / "results/tables/table_3_1.csv").unlink()
    assert shown(run.plan()) == shown(planned(tables("table_3_1"), CLOSING))
    (run.folder / "results/tiles/Q1.npy").unlink()
    assert "images" not in run.plan(), "nothing that is asked for reads these tiles"
    assert shown(run.plan(targets=["tiles"]))["images"] == ["Q1"]
