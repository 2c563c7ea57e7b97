"""Captions of every table and figure: the question it answers, what it shows, and what its intervals mean.

One text serves the Snakemake report (as reStructuredText) and the page of findings.
"""

from collections.abc import Mapping

from campfire.report.catalogue import Kind
from campfire.report.figure_captions import FIGURES, Caption
from campfire.report.tables.options import TableOptions

INTERVALS = (
    "Intervals are {level:g} % percentile intervals of {replicates:,} bootstrap replicates that resample wells within "
    "each compound (compounds with a single well form one group), with all cells and all fits of a well together. "
    "They cover other wells of these compounds and plates, but not the spread over pretraining runs."
)

TABLES: Mapping[str, Caption] = {
    "quadrants": Caption(
        "How many plates, compounds and wells are in each part of the split?",
        "One row per plate type and label. Train and val serve pretraining and the probes of control compounds; the "
        "four test labels are the quadrants; unused wells have no role: they are surplus wells of a compound or were "
        "not drawn. Every well has one label.",
        paper="Section 2.1",
    ),
    "attrition": Caption(
        "What was left out between images and tiles, and why?",
        "Requested sites that were not used and nuclei that did not become tiles, each under the first reason that "
        "applied. Sites are left out when an image is missing or damaged at the source, or by the thresholds of "
        "section `quality` of the configuration; nuclei when the field cuts them, when the tile does not fit into the "
        "field, or when they are too small or too large. A plate with more than s3.max_bad_share missing or corrupt "
        "sites stops the run instead.",
    ),
    "ranking": Caption(
        "Which encoder is best?",
        "Mean accuracy over the four quadrants on {id_channels}, best encoder first, with the paired difference of "
        "the best to each other one. Untrained twins, classical features and other simple baselines compete on equal "
        "terms. The best is chosen on these data, which favours it.",
        has_protocol=True,
    ),
    "accuracies": Caption(
        "What are all accuracies?",
        "Every encoder, channel set, protocol and quadrant, with balanced accuracy and macro F1. Accuracy: mean ± "
        "population standard deviation over fits. The csv adds the standard deviation with ddof 1 and the share of the "
        "largest class.",
        has_intervals=True,
    ),
    "table_3_1": Caption(
        "Do representations generalise to held-out plates and compounds?",
        "Accuracy of linear probes that identify the compound of a single cell from its embedding, in the four "
        "quadrants. ID compounds are the control compounds, with one probe per subset of training wells; OOD compounds "
        "are the held-out ones, with cross-validation over plates. Channels: {id_channels}.",
        has_protocol=True,
        has_intervals=True,
        paper="Table 3.1",
    ),
    "table_3_2": Caption(
        "What happens with fluorescent channels that pretraining never saw?",
        "The probes of Table 3.1 on two channel sets: {id_channels} (ID, seen in pretraining) and {ood_channels} "
        "(OOD). For encoders trained on other images all channels are new, so their change shows how informative the "
        "channels themselves are.",
        has_protocol=True,
        has_intervals=True,
        paper="Table 3.2",
    ),
    "differences": Caption(
        "Which differences hold up?",
        "Every comparison of this report: first minus second on identical cells, for each quadrant and for their "
        "mean, with two {level:g} % intervals. Over plates is for other plates of such a screen: Student's t on what "
        "each plate adds to the difference, quadrants that share plates taken together. Over wells is for other wells "
        "of these plates: {replicates:,} bootstrap replicates within each compound, the same wells for both sides. "
        "Neither covers another pretraining run or other compounds. p, adjusted: of the interval over plates, by "
        "Holm's method for the number of comparisons; bold: different after it. Fewer than three plates, or wells, "
        "have no interval. The best single channel is chosen on the same data, which favours the single channel.",
        has_protocol=True,
    ),
    "seeds": Caption(
        "How do encoders compare over pretraining seeds?",
        "Encoders that differ only in their seed, taken together, beside the others: accuracy in each quadrant, mean "
        "over seeds, with a {level:g} % interval for other seeds on these plates; and the error at masked pixels of "
        "the validation tiles, by channel.",
        has_protocol=True,
    ),
    "seed_differences": Caption(
        "Which differences hold for other seeds and other plates?",
        "The first encoder against every other, and each against the encoders of a single seed; mean over the "
        "quadrants, encoders of the same seed paired. Student's t over seeds, over plates, and over both, with p "
        "adjusted for the number of comparisons (Holm).",
        has_protocol=True,
    ),
    "gaps": Caption(
        "How much accuracy is lost on held-out plates?",
        "Accuracy on ID plates and on OOD plates with the same classifiers, and the gap, ID minus OOD. The column "
        "Over plates takes whole plates as units: it says what other plates may show. A small gap says nothing about "
        "how hard a task is; compare with chance for that.",
        has_protocol=True,
        has_intervals=True,
    ),
    "laboratories": Caption(
        "Do representations hold in another laboratory?",
        "OOD plates by their source, beside the ID plates: those of sources that have ID or training plates, and those "
        "of other laboratories, with another microscope, pixel size or set of channels. Channels: {id_channels}, of "
        "which a plate is embedded with those that it has.",
        has_protocol=True,
        has_intervals=True,
    ),
    "protocols": Caption(
        "What do the evaluation protocols give?",
        "The same embeddings probed under each protocol. release: as the authors' code, which pools the control cells "
        "of a plate, stops training early on the fold that it scores and keeps the last weights. paper: as the text, "
        "with cells drawn per well and the best epoch kept, which the scored fold still chooses. strict: whole plates "
        "per fold, and separate wells choose the epoch. The release draws other cells than paper and strict; "
        "differences on identical cells are in the table of leakage. Channels: {id_channels}.",
        has_intervals=True,
    ),
    "leakage": Caption(
        "How much does each source of data leakage add to the accuracies?",
        "Each row changes one thing and keeps the cells: which wells choose the epoch, which plates and wells are on "
        "both sides, which weights are scored. The last rows change everything that a protocol does. An empty cell "
        "means that the change does not concern that task. The row on well positions is not a change of the "
        "evaluation: it asks how well wells of the negative control are identified on a new plate by their position "
        "alone. Channels: {id_channels}, cells of the strict sample. Leakage through the split acts in pretraining and "
        "takes a second run to quantify. Intervals are not corrected for the number of comparisons.",
        has_intervals=True,
    ),
    "outside_cell": Caption(
        "How much of the accuracy comes from outside of the cell?",
        "Each encoder on whole tiles and on tiles without what is nearer to another nucleus (with a radius, also "
        "without what is farther from the cell's own), on identical cells. Channels: {id_channels}.",
        has_protocol=True,
    ),
    "unseen_channels": Caption(
        "What does each channel add that was not seen in pretraining?",
        "Each channel set with one unseen channel, against the same set without that channel, on identical cells. "
        "Above zero, the encoder makes use of a stain that it never saw.",
        has_protocol=True,
    ),
    "training_channels": Caption(
        "Does pretraining on more channels help?",
        "Encoders pretrained on different channels, each against the one pretrained on fewest, on the same channels of "
        "identical cells: {id_channels}. Each is one pretraining run.",
        has_protocol=True,
    ),
    "profiles": Caption(
        "Do findings hold for wells, for another classifier, and after normalisation by controls?",
        "For each quadrant: the linear probe of cells, nearest neighbours, both again on well profiles, and retrieval "
        "of replicates on other plates (mean average precision by copairs; above chance: 0 is chance, 1 is perfect; "
        "with intervals over plates). "
        "Three representations: raw, sphered and TVN, which use the negative-control wells of each plate and no other "
        "label; that control is not a class here. Channels: {id_channels}.",
        has_protocol=True,
        has_intervals=True,
    ),
    "variance": Caption(
        "How much of the variance of well profiles is compound, and how much is batch and plate?",
        "Share of the variance that each factor explains in addition to the others (omega squared, which subtracts "
        "what its number of levels would explain by chance); plates are nested in batches; the remainder varies from "
        "well to well. Intervals cover other wells, not other plates or batches. Channels: {id_channels}.",
        has_protocol=True,
    ),
    "retrieval": Caption(
        "Are replicates found across batches and layouts, and do embeddings encode the position of a well?",
        "Mean average precision above chance (0 is chance, 1 is perfect) with which test wells retrieve wells of their "
        "compound: on other plates of the same batch, in other batches, and in another position of the plate where the "
        "screen has one. The columns share their negatives, so a fall from left to right is what batch and layout "
        "cost. Well position: the same among wells of the negative control, for the same position on other plates; "
        "above zero the layout leaks into the embeddings. Intervals are over plates. Channels: {id_channels}.",
        has_protocol=True,
    ),
    "transfer": Caption(
        "How well are control groups of the transfer screen separated?",
        "Z′ for every pair of control groups and encoder, on held-out plates and on plates that the head was trained "
        "on, with plain and robust mean and standard deviation, and bootstrap intervals over wells. Projection and "
        "spread come from the same wells, so Z′ of few wells is too high; the intervals correct for that, and the "
        "value may lie above its own. From 0.5 an assay counts as excellent (the means lie six times the sum of both "
        "SDs apart); at 0 the 3-SD bands of both groups touch. Groups of fewer than three wells have no interval and "
        "give no verdict.",
        paper="Section 3.5 and Appendix C",
    ),
    "ablation": Caption(
        "Which trial of this ablation stage reconstructs best?",
        "Each row of the paper's table is a pretraining run; a stage starts from the best trial of the stages before. "
        "Trials are ranked by validation loss and by reconstruction error of masked pixels, with equal weight: losses "
        "of different objectives are not on one scale, the error is. The paper prints the rows but no values.",
        paper="Appendix B, Tables 2.3 to 2.5",
    ),
}


def of(kind: Kind, name: str) -> Caption:
    """The caption of a table or figure; members of a family share one."""
    return (TABLES if kind == "table" else FIGURES)[name.split("/")[0]]


def text(kind: Kind, name: str, options: TableOptions) -> str:
    """What a table or figure shows and what its numbers mean, as one paragraph."""
    caption = of(kind, name)
    values: dict[str, object] = {
        "id_channels": options.channel_label(options.id_channels),
        "ood_channels": options.channel_label(options.ood_channels),
        "level": 100 * options.level,
        "replicates": options.replicates,
    }
    parts = [caption.shows.format(**values)]
    if caption.has_protocol:
        parts.append(f"Protocol: {options.protocol}.")
    if caption.has_intervals:
        parts.append(INTERVALS.format(level=100 * options.level, replicates=options.replicates))
    if caption.paper and options.paper_screen:
        parts.append(f"Paper: {caption.paper}.")
    return " ".join(parts)


def restructured(kind: Kind, name: str, options: TableOptions) -> str:
    """The caption for the Snakemake report: the question in bold, then the text."""
    literal = (
        text(kind, name, options).replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`").replace("_", "\\_")
    )
    return f"**{of(kind, name).question}**\n\n{literal}\n"
