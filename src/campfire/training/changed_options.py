"""Resuming a run whose optimiser options were changed on the way, where the user says so (`resume_changed`)."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from campfire.core.errors import DataError
from campfire.core.files import write_json
from campfire.model.checkpoints import Checkpoint, StateFolder, read_checkpoint
from campfire.training.options import PretrainOptions

log = logging.getLogger(__name__)

CHANGEABLE = frozenset(
    {"learning_rate", "warmup_learning_rate", "min_learning_rate", "warmup_epochs", "weight_decay", "betas", "clip"}
)
"""Options with which weights and moments of another run can be taken on."""
FACTS = "options.json"


def note_options(state: StateFolder, options: PretrainOptions, data: str) -> None:
    """Write what a state folder's run depends on, so that a later run can compare."""
    write_json(state.folder / FACTS, {"options": options.result_options(), "data": data})


def earlier_run(state: StateFolder, options: PretrainOptions, data: str) -> Checkpoint | None:
    """The newest checkpoint of a run that differs in options of the optimiser only, as this run's; None without one.

    Its position names the changes (`changes`), and its count of skipped steps begins anew. Its snapshots are copied.
    """
    own = json.loads(json.dumps(options.result_options()))
    found: list[tuple[float, Path, dict[str, Any]]] = []
    for facts in state.root.glob(f"*/{FACTS}"):
        known = json.loads(facts.read_text(encoding="utf-8"))
        before = known["options"]
        changed = {key for key in {*own, *before} if own.get(key) != before.get(key)}
        if facts.parent == state.folder or known["data"] != data or not changed <= CHANGEABLE:
            continue
        changes = {key: [before.get(key), own.get(key)] for key in sorted(changed)}
        found += [(path.stat().st_mtime, path, changes) for path in facts.parent.glob("step-*.ckpt")]
    for _, path, changes in sorted(found, key=lambda each: each[0], reverse=True):
        try:
            checkpoint = read_checkpoint(path)
        except DataError as error:
            log.warning("%s; falling back to the previous checkpoint", error)
            continue
        for snapshot in path.parent.glob("snapshots/*.npy"):
            (state.folder / "snapshots").mkdir(exist_ok=True)
            shutil.copy2(snapshot, state.folder / "snapshots")
        at = {"step": int(path.stem.removeprefix("step-")), "changed": changes}
        log.warning("resuming from step %d of a run of other options: %s", at["step"], changes)
        changed_state = {"skipped": 0, "changes": [*checkpoint.state.get("changes", []), at]}
        return replace(checkpoint, state={**checkpoint.state, **changed_state})
    return None
