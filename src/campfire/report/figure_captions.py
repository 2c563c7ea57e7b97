"""Captions of the figures: the question that each answers, and what it shows."""

from collections.abc import Mapping
from dataclasses import dataclass


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
    "unseen": Caption(
        "What does the model fill in on wells and channels that it never saw?",
        "Two tiles of test wells, from a plate out of distribution where there is one and of held-out compounds where "
        "it has some, channel by channel; channels marked unseen were not in pretraining and are reconstructed "
        "together with the others of {ood_channels}. Scaled between the 0.5th and 99.7th percentile of the target. "
        "The number is the mean squared error over masked pixels relative to the variance of the target: 1 is the "
        "error of predicting the tile's own mean. Error: distance from the target in its standard deviations; visible "
        "patches are grey. Occlusion: how far the embedding of the tile moves (1 minus cosine similarity) when a patch "
        "of this channel is replaced by the channel's mean; bright patches are what the embedding depends on.",
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
        "Do wells and cells of a compound lie together, or those of a plate, batch or well position?",
        "Mean embeddings of wells of the evaluation plates, and a random sample of their cells (at most 1,500, as many "
        "of each part of the split), on the first two principal components (shares of the variance in brackets): raw, "
        "and after sphering by the negative control of each plate, wells and cells by the same matrix. The same map "
        "five times: coloured by control compound, by batch (by plate where there is one batch), by row and by column "
        "of the well, and by part of the split. Axes show the middle 95 % of the points and half of that range beyond "
        "on either side; open markers on the border are points beyond it. Channels: {id_channels}. Two components "
        "show what varies most, not all that separates compounds.",
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
