"""Training the head with a triplet loss on well means."""

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.errors import DataError
from campfire.core.random import keyed_generator
from campfire.evaluation.cells import check_finite, check_rows
from campfire.evaluation.transfer.head import Head
from campfire.evaluation.transfer.options import TransferOptions
from campfire.evaluation.transfer.sheet import check_trainable
from campfire.evaluation.transfer.wells import well_numbers

if TYPE_CHECKING:
    import torch

    from campfire.model.checkpoints import StateFolder

logger = logging.getLogger(__name__)

Rows = NDArray[np.intp]


def train_head(
    keys: pd.DataFrame,
    embeddings: NDArray[np.float32],
    sheet: pd.DataFrame,
    options: TransferOptions | None = None,
    state_dir: str | Path | None = None,
    device: str = "auto",
    code: str = "",
) -> Head:
    """Train a head on the training plates of a transfer screen (paper section 3.5).

    Each batch draws some cells of each of its wells, runs the head on every cell and takes the mean per well; the
    triplet loss pulls wells of one treatment together. The encoder stays frozen, so only its embeddings are
    needed. keys, embeddings (N, D): cells of all plates; held-out plates are not used. With `state_dir` an interrupted
    run of the same data, options and `code` resumes from its newest checkpoint and ends with the same weights on CPU.
    Raises DataError when the training plates have too few wells with cells.
    """
    import torch

    from campfire.model.checkpoints import StateFolder

    check_trainable(sheet)
    options = options or TransferOptions()
    x = np.asarray(embeddings, np.float32)
    check_rows(keys, x, "transfer")
    check_finite(keys, x, "transfer")
    cells, labels = _training_wells(keys, sheet, options)
    used = np.concatenate(cells)
    centre, scale = _scaling(x[used], options)
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    # Only training cells go to the device; the wells' rows are renumbered to match.
    features = torch.from_numpy((x[used] - centre) / scale).to(where)
    ends = np.cumsum([len(rows) for rows in cells])
    renumbered = [np.arange(end - len(rows), end) for rows, end in zip(cells, ends, strict=True)]
    wells = _Wells(features, renumbered, labels)
    network = _network(x.shape[1], options).to(where)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, foreach=False
    )
    state = None
    if state_dir is not None:
        state = StateFolder(state_dir, _digest(x[used], labels, ends, options, code))
    history = _resume(state, network, optimiser) if state is not None else []
    _train(wells, network, optimiser, history, options, state)
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    return Head(
        weights=[layer.weight.detach().cpu().numpy() for layer in linear],
        biases=[layer.bias.detach().cpu().numpy() for layer in linear],
        centre=centre,
        scale=scale,
        normalise=options.normalise,
        history=pd.DataFrame(history, columns=["epoch", "loss", "active"]),
    )


def _train(
    wells: "_Wells",
    network: "torch.nn.Sequential",
    optimiser: "torch.optim.Optimizer",
    history: list[dict[str, Any]],
    options: TransferOptions,
    state: "StateFolder | None",
) -> None:
    """Train the epochs that `history` lacks, add them to it, and write checkpoints to `state`."""
    started = reported = time.monotonic()
    for epoch in range(len(history), options.epochs):
        history.append({"epoch": epoch + 1, **_train_epoch(epoch, wells, network, optimiser, options)})
        done = epoch + 1
        if state is not None and (done % options.checkpoint_every == 0 or done == options.epochs):
            _save(state, network, optimiser, history)
        if time.monotonic() - reported > 10 or done == options.epochs:
            reported = time.monotonic()
            logger.info(
                "transfer head: epoch %d of %d, loss %.4f, %.0f s",
                *(done, options.epochs, history[-1]["loss"], reported - started),
            )


def _scaling(
    features: NDArray[np.float32], options: TransferOptions
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centre and scale of training cells (N, D): (D,), (D,); 0 and 1 without standardisation."""
    if not options.standardise:
        return np.zeros(features.shape[1], np.float32), np.ones(features.shape[1], np.float32)
    spread = features.std(axis=0)
    return features.mean(axis=0), np.where(spread > 0, spread, 1).astype(np.float32)


@dataclass(frozen=True)
class _Wells:
    """The training wells: cells on the device (N, D), each well's rows there, each well's treatment number (W,)."""

    features: "torch.Tensor"
    rows: list[Rows]
    labels: NDArray[np.int64]


def _train_epoch(
    number: int,
    wells: _Wells,
    network: "torch.nn.Sequential",
    optimiser: "torch.optim.Optimizer",
    options: TransferOptions,
) -> dict[str, float]:
    """Train one epoch; return `loss` and `active`, means over its batches."""
    import torch

    rng = keyed_generator(options.seed, 1, number)
    where = wells.features.device
    losses, active = [], []
    for batch in batches(wells.labels, rng, options):
        rows = np.stack([_draw(wells.rows[well], rng, options.cells_per_well) for well in batch])
        values = network(wells.features[torch.from_numpy(rows.ravel()).to(where)])
        means = values.view(*rows.shape, -1).mean(dim=1)
        if options.normalise:
            means = torch.nn.functional.normalize(means, dim=1)
        loss, share = triplet_loss(means, torch.from_numpy(wells.labels[batch]).to(where), options)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        active.append(share.item())
    return {"loss": float(np.mean(losses)), "active": float(np.mean(active))}


def batches(labels: NDArray[np.int64], rng: np.random.Generator, options: TransferOptions) -> list[Rows]:
    """One epoch of wells in batches: (W,) treatment numbers -> arrays of well numbers.

    Wells of a treatment enter together, `wells_per_treatment` at a time, so that a batch has positives. A single
    remaining well joins its treatment's previous wells; a treatment with one well serves as a negative.
    """
    chunks: list[Rows] = []
    for label in np.unique(labels):
        wells = rng.permutation(np.flatnonzero(labels == label))
        parts = [wells[i : i + options.wells_per_treatment] for i in range(0, len(wells), options.wells_per_treatment)]
        if len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [np.concatenate(parts[-2:])]
        chunks += parts
    packed: list[Rows] = []
    wells = np.empty(0, np.intp)
    for number in rng.permutation(len(chunks)):
        wells = np.concatenate([wells, chunks[number]])
        if len(wells) >= options.wells_per_batch and _has_triplet(labels[wells]):
            packed.append(wells)
            wells = np.empty(0, np.intp)
    if len(wells) and (not packed or _has_triplet(labels[wells])):
        packed.append(wells)
    elif len(wells):  # too few treatments are left for another batch
        packed[-1] = np.concatenate([packed[-1], wells])
    return packed


def _has_triplet(labels: NDArray[np.int64]) -> bool:
    counts = np.unique(labels, return_counts=True)[1]
    return len(counts) > 1 and int(counts.max()) > 1


def triplet_loss(
    means: "torch.Tensor", labels: "torch.Tensor", options: TransferOptions
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Triplet loss over the wells of a batch, max(0, d(a, p) - d(a, n) + margin) with squared distances.

    means (W, E), labels (W,) treatment numbers; at least one triplet must exist. `all`: mean over violating triplets;
    `batch_hard`: each well with its farthest positive and nearest negative; `semi_hard`: each pair of positives with
    the nearest negative farther away than the positive, or the farthest negative where none is.
    Returns the loss and the share of its triplets that violate the margin.
    """
    import torch

    inner = means @ means.T
    square = inner.diagonal()
    distance = (square[:, None] - 2 * inner + square[None, :]).clamp(min=0)
    alike = labels[:, None] == labels[None, :]
    other = ~alike
    pair = alike & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    pair = pair & other.any(dim=1, keepdim=True)
    infinity = torch.tensor(float("inf"), device=means.device)
    if options.loss == "batch_hard":
        anchors = pair.any(dim=1)
        farthest = torch.where(pair, distance, -infinity).amax(dim=1)[anchors]
        nearest = torch.where(other, distance, infinity).amin(dim=1)[anchors]
        loss = (farthest - nearest + options.margin).clamp(min=0)
        return loss.mean(), (loss > 0).float().mean()
    first, second = pair.nonzero(as_tuple=True)
    positive = distance[first, second]  # (T,)
    negatives = torch.where(other, distance, infinity)[first]  # (T, W)
    if options.loss == "semi_hard":
        beyond = torch.where(negatives > positive[:, None], negatives, infinity).amin(dim=1)
        farthest = torch.where(other, distance, -infinity)[first].amax(dim=1)
        loss = (positive - torch.where(beyond.isinf(), farthest, beyond) + options.margin).clamp(min=0)
        return loss.mean(), (loss > 0).float().mean()
    loss = (positive[:, None] - negatives + options.margin).clamp(min=0)
    violating = loss > 0
    return loss.sum() / violating.sum().clamp(min=1), violating.sum() / other[first].sum()


def _training_wells(
    keys: pd.DataFrame, sheet: pd.DataFrame, options: TransferOptions
) -> tuple[list[Rows], NDArray[np.int64]]:
    """Cells of each training well, and the well's treatment number."""
    rows = well_numbers(keys, sheet)
    names = sheet["treatment"]
    if options.positives == "treatment_and_group":
        names = names + "\t" + sheet["group"]
    order = np.argsort(rows, kind="stable")
    bounds = np.searchsorted(rows[order], np.arange(len(sheet) + 1))
    wells = [i for i in np.flatnonzero(sheet["role"] == "train") if bounds[i + 1] > bounds[i]]
    labels = np.unique(names.to_numpy(object)[wells].astype(str), return_inverse=True)[1].astype(np.int64)
    if not wells or not _has_triplet(labels):
        raise DataError(
            f"transfer: {len(wells)} wells of the training plates have cells; a triplet needs two treatments, one of "
            "them with two wells"
        )
    return [order[bounds[i] : bounds[i + 1]] for i in wells], labels


def _draw(rows: Rows, rng: np.random.Generator, count: int) -> Rows:
    """`count` of a well's cells, without replacement where there are enough."""
    if len(rows) >= count:
        return rows[rng.permutation(len(rows))[:count]]
    return rows[rng.integers(0, len(rows), count)]


def _network(width: int, options: TransferOptions) -> "torch.nn.Sequential":
    """The head with torch's default initialisation, drawn from the seed."""
    import torch

    rng = keyed_generator(options.seed, 2)
    layers: list[torch.nn.Module] = []
    for size in options.layers:
        layer = torch.nn.Linear(width, size)
        bound = width**-0.5
        with torch.no_grad():
            for parameter in (layer.weight, layer.bias):
                values = rng.uniform(-bound, bound, tuple(parameter.shape)).astype(np.float32)
                parameter.copy_(torch.from_numpy(values))
        layers += [layer, torch.nn.ReLU()]
        width = size
    return torch.nn.Sequential(*layers[:-1])


def _digest(
    features: NDArray[np.float32], labels: NDArray[np.int64], ends: Rows, options: TransferOptions, code: str
) -> str:
    """Fingerprint of what a checkpoint depends on; scores and the number of epochs are not part of it."""
    skipped = ("epochs", "checkpoint_every", "zprime_ddof", "replicates", "level")
    text = json.dumps({k: v for k, v in options.values().items() if k not in skipped}, sort_keys=True, default=list)
    digest = hashlib.sha256(f"{code}{text}".encode())
    for array in (features, labels, np.asarray(ends)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]


def _save(
    folder: "StateFolder",
    network: "torch.nn.Sequential",
    optimiser: "torch.optim.Optimizer",
    history: list[dict[str, Any]],
) -> None:
    from campfire.model.checkpoints import optimiser_tensors

    tensors = {f"head.{name}": value for name, value in network.state_dict().items()}
    tensors |= optimiser_tensors(optimiser, [name for name, _ in network.named_parameters()])
    folder.save(len(history), tensors, {"history": history})


def _resume(
    folder: "StateFolder", network: "torch.nn.Sequential", optimiser: "torch.optim.Optimizer"
) -> list[dict[str, Any]]:
    """Load the newest checkpoint into the head and return its epochs so far; [] where there is none."""
    from campfire.model.checkpoints import load_optimiser

    checkpoint = folder.load()
    if checkpoint is None:
        return []
    head = {name[5:]: value for name, value in checkpoint.tensors.items() if name.startswith("head.")}
    network.load_state_dict(head)
    load_optimiser(optimiser, [name for name, _ in network.named_parameters()], checkpoint.tensors)
    history = list(checkpoint.state["history"])
    logger.info("transfer head: resuming after epoch %d", len(history))
    return history
