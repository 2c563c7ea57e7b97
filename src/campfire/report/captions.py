"""Captions of every table and figure: the question it answers, what it shows, and what its intervals mean.

One text serves the Snakemake report (as reStructuredText) and the page of findings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from campfire.report.catalogue import Kind
from campfire.report.tables.options import TableOptions


@dataclass(frozen=True)
class Caption:
    """A text with the fields {id_channels}, {ood_channels}, {level} and {replicates}."""

    question: str
    shows: str
    """What is drawn or printed, and how to read it."""
    has_protocol: bool = False
    has_intervals: bool = False
    paper: str = ""
    """The corresponding item of the paper."""


INTERVALS = (
    "Intervals are {level:g} % percentile intervals of {replicates:,} bootstrap replicates that resample wells within "
    "each compound (compounds with a single well form one group), with all cells and all fits of a well together. "
    "They cover other wells of these compounds and plates, but not the spread over pretraining runs."
)

FIGURES: Mapping[str, Caption] = {
    "figure_2_1": Caption(
        "Which wells are used for training, and which are held out for which test?",
        "Each cell is the well of one compound (column) on one plate (row), coloured by its role in the split. Blue: "
        "compounds seen in training; orange: held-out (OOD) compounds. Plates below the black line are OOD plates, of "
        "which no well is used for training. Holding out plates and holding out compounds cross, which gives the four "
        "quadrants. White: the plate lacks the compound. Where a plate has several wells of a compound, the assigned "
        "one is shown.",
        paper="Figure 2.1, which sketches the rule for a single compound",
    ),
    "contact_sheet": Caption(
        "Did segmentation find the nuclei?",
        "Sites of one plate in false colour: the best, the median and the worst by focus, saturation and number of "
        "nuclei, then some of the sites that were left out. Kept nuclei are outlined in white, dropped ones in "
        "orange, with the reason beside each (edge: cut by the field; border: its tile does not fit into it); of a "
        "site that was left out, the reason stands above it. Contrast runs from the 1st to the 99.7th percentile "
        "of these sites, channel by channel, so that they compare.",
    ),
    "plate_layout": Caption(
        "Is the plate sound?",
        "Quality measures of a plate in the layout of its wells: number of nuclei (sum over sites), share of sites "
        "kept, focus (slope of the power spectrum; lower is more blurred) and background (counts). Edge effects, "
        "pipetting patterns and blurred regions show as structure. Wells without images are blank. Sites are dropped "
        "by the thresholds of the configuration; the quality table has the reason for each.",
    ),
    "figure_2_2": Caption(
        "What is the model that was pretrained?",
        "Drawn from the configuration of the first pretraining run. Each channel of a tile is cut into patches; the "
        "encoder sees the visible ones (in colour) of all channels together and knows no channel names. The decoder "
        "gets its output, a mask token for every masked patch and an embedding of each channel, and predicts the "
        "pixels of all patches. After pretraining the decoder is dropped and nothing is masked: a cell's embedding is "
        "the mean of its patch tokens. The drawing of masks is an example.",
        paper="Figure 2.2",
    ),
    "figure_3_3": Caption(
        "What does the model predict for the parts of a cell that it does not see?",
        "Tiles from validation wells, chosen before training: the masked input (masked patches in grey), "
        "reconstructions as training proceeds, and the target. Of each tile, the first row adds its channels up in "
        "colour and the following rows show each channel alone, scaled between the 0.5th and 99.7th percentile of its "
        "target. Reconstructions show predictions in masked patches and the input elsewhere; masks are the same at "
        "every epoch. A model that knows its channels draws nuclei in the nuclear channel alone. The number under a "
        "reconstruction is its mean squared error over masked pixels relative to the variance of the target (mean "
        "over the channels in the coloured row): 1 is the error of predicting the tile's own mean.",
        paper="Figure 3.3",
    ),
    "training_curves": Caption(
        "Did pretraining converge, and did the model learn to fill in each channel?",
        "Loss per epoch on training tiles (solid) and on validation wells with fixed masks (dashed); the loss is the "
        "weighted objective, so it compares epochs of one run and runs with the same objective. Masked error: mean "
        "squared error at masked pixels of validation wells by channel, relative to the tile's variance. A model "
        "fills in a channel when its error is below that of the channel's mean tile (dashed). Below the dotted line "
        "it knows the channel: this is the least error of a decoder that cannot tell channels apart. Then learning "
        "rate and tiles per second. One value per epoch, no smoothing.",
    ),
    "cells": Caption(
        "What do the cells of a compound look like?",
        "Random cells of the control compounds and of a few held-out ones (grey names), all from one plate, the "
        "negative control first. Left: {id_channels} in false colour. Right: the first of these cells, channel by "
        "channel. Contrast runs from the 1st to the 99.7th percentile of the plate, the same for all cells, so "
        "brightness can be compared. The csv names every cell.",
    ),
    "typical": Caption(
        "Which cells stand for a compound, and which are taken for another?",
        "Cells of one plate (out of distribution where there is one: all its wells are test wells), control compounds "
        "first, held-out ones with grey names. Left: the cells whose embeddings "
        "lie nearest to the mean of their compound's cells on this plate (every dimension brought to deviation 1). "
        "Right: cells that the probes take for the compound with which this one is confused most often, named beside "
        "them with the share of all predictions of the compound's cells on this plate; most certain ones first. "
        "{id_channels} in false colour, contrast as in the sheet of cells. The csv names every cell.",
        has_protocol=True,
    ),
    "embedding_map": Caption(
        "Do wells of a compound lie together, or wells of a plate and batch?",
        "Mean embeddings of wells of the evaluation plates on their first two principal components (shares of the "
        "variance in brackets), raw and after sphering by the negative control of each plate. The same map three "
        "times: coloured by control compound, by batch (by plate where there is one batch), and by part of the split. "
        "Channels: {id_channels}. Two components show what varies most, not all that separates compounds.",
    ),
    "similarity": Caption(
        "Which compounds look alike?",
        "Cosine similarity of the compounds' mean profiles over all evaluation plates, after sphering by the negative "
        "control of each plate, in the order of a hierarchical clustering (average linkage). The diagonal is the "
        "similarity between two halves of the compound's own plates: what replicates reach. Channels: {id_channels}.",
    ),
    "ood_gap": Caption(
        "How much accuracy is lost on held-out plates?",
        "Accuracy on ID plates (circles) and OOD plates (diamonds) with the same classifiers; right: the gap, ID "
        "minus OOD, with its interval for other plates (Student's t over plates; with a star, where there are fewer "
        "than three plates, for other wells of these). The dashed line is chance. A small gap says nothing about how "
        "hard a task is; compare with chance for that.",
        has_protocol=True,
        has_intervals=True,
    ),
    "figure_3_4": Caption(
        "Does the representation improve as channels are added?",
        "Accuracy of probes on embeddings of the same cells, made from different sets of channels. Left: control "
        "compounds; right: held-out compounds. Bars start at zero; the dashed line is chance. Paired differences "
        "between channel sets are in the table of differences.",
        has_protocol=True,
        has_intervals=True,
        paper="Figure 3.4",
    ),
    "claims": Caption(
        "Which differences hold up, at a glance?",
        "Differences of accuracy on identical cells, first minus second. Circles: quadrants; diamond: mean of the "
        "quadrants. Bars are {level:g} % intervals for other plates of such a screen (Student's t over plates, "
        "quadrants that share plates taken together). Where a side has fewer than three plates there is none; the bar "
        "is then dotted and covers other wells of these plates only. Bold numbers differ over "
        "plates after adjustment for the number of comparisons (Holm). No interval covers the spread over pretraining "
        "runs.",
        has_protocol=True,
    ),
    "profiles": Caption(
        "Are replicates retrieved across plates, and what explains the variance of well profiles?",
        "Left: mean average precision with which a well retrieves wells of its compound on other plates; 0 is chance, "
        "1 is perfect. Right: shares of the variance of well profiles of held-out compounds; the grey remainder is "
        "well-to-well variation. Both before and after normalisation by the negative control.",
        has_protocol=True,
        has_intervals=True,
    ),
    "figure_3_5": Caption(
        "Does the representation transfer to another cell type?",
        "Z′ between groups of control wells of the transfer screen, on plates that the head was not trained on: from "
        "0.5 an assay counts as excellent, at 0 the 3-SD bands of both groups touch, below they overlap. The colour "
        "scale ends at −1, the numbers do not. Values of fewer than three wells per side are in brackets without "
        "colour: "
        "they are no verdict. Encoders are frozen; a small head is trained with a triplet loss. Plain: mean and SD, "
        "as in the paper; robust: Algorithm A, as in the authors' code. Separation between groups on different plates "
        "includes plate effects.",
        paper="Figure 3.5 and Appendix C",
    ),
    "confusion": Caption(
        "Which compounds are mistaken for which?",
        "Share of the cells of each compound (row) that the probes assign to each compound (column), over all fits; "
        "rows sum to one. Compounds confused on ID plates look alike to the probe; compounds confused on OOD plates "
        "only were separated by features particular to the ID plates.",
        has_protocol=True,
    ),
}

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
        "of replicates on other plates (mean average precision by copairs; above chance: 0 is chance, 1 is perfect). "
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
        "above zero the layout leaks into the embeddings. Channels: {id_channels}.",
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
