"""Maps of embeddings: wells and cells by the same normalisation, a sample that depends on keys alone, axes."""

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.evaluation.profiles.maps import axis_limits, map_points, principal_components
from campfire.evaluation.profiles.normalise import normalise
from campfire.evaluation.well_means import well_means
from support.map_cells import by_plate, embedded, wells

KEYS = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Nucleus"]


def test_wells_and_cells_plate_by_plate_are_those_of_all_cells_at_once() -> None:
    keys, x = embedded()
    compound = keys.merge(wells(), on=KEYS[:2])["Metadata_JCP2022"]
    whole = normalise(keys, x, (compound == "C1").to_numpy(), "sphered")
    points = map_points(by_plate(keys, x), wells(), "C1", len(keys))
    table, means = well_means(keys, whole)
    found, own = points["well", "sphered"]
    assert found["Metadata_Well"].tolist() == table["Metadata_Well"].tolist()
    np.testing.assert_allclose(own, means, atol=1e-4)
    cells, embeddings = points["cell", "sphered"]
    rows = cells.merge(keys.assign(at=range(len(keys))), on=KEYS, how="left")["at"]
    assert len(rows) > 100 and rows.is_unique
    np.testing.assert_allclose(embeddings, whole[rows], atol=1e-4)
    np.testing.assert_array_equal(points["cell", "raw"][1], x[rows])


def test_cells_are_as_many_of_every_part_of_the_split_and_depend_on_keys_alone() -> None:
    keys, x = embedded()
    cells, _ = map_points(by_plate(keys, x), wells(), "C1", 30)["cell", "raw"]
    assert cells["split"].value_counts().to_dict() == {"train": 10, "test": 10, "test_ood_compound": 10}
    assert cells["Metadata_Plate"].nunique() == 2, "of all plates"
    order = np.random.default_rng(5).permutation(len(keys))
    again, _ = map_points(by_plate(keys.iloc[order].reset_index(drop=True), x[order]), wells(), "C1", 30)["cell", "raw"]
    pd.testing.assert_frame_equal(cells, again)
    assert ("cell", "raw") not in map_points(by_plate(keys, x), wells(), "C1", 0)


def test_sphering_takes_the_plates_away_and_leaves_the_compounds() -> None:
    points = map_points(by_plate(*embedded()), wells(), "C1")
    assert set(points) == {(unit, kind) for unit in ("well", "cell") for kind in ("raw", "sphered")}
    distance = {}
    for (unit, kind), (table, x) in points.items():
        control = table["Metadata_JCP2022"] == "C1"
        means = [x[(control & (table["Metadata_Plate"] == plate)).to_numpy()].mean(0) for plate in ("P1", "P2")]
        distance[unit, kind] = np.linalg.norm(means[0] - means[1])
    assert distance["well", "raw"] == pytest.approx(3, abs=0.4) and distance["well", "sphered"] < 1e-4
    assert distance["cell", "raw"] == pytest.approx(3, abs=0.4) and distance["cell", "sphered"] < 1e-4
    alone = map_points(by_plate(*embedded()), wells(), "another")
    assert set(alone) == {("well", "raw"), ("cell", "raw")}, "without a negative control nothing can be sphered"


def test_a_run_whose_cells_are_in_no_listed_well_is_refused() -> None:
    with pytest.raises(DataError, match="no cell lies in a well"):
        map_points(by_plate(*embedded()), wells().replace({"P1": "P8", "P2": "P9"}), "C1")


def test_principal_components_are_those_of_the_covariance() -> None:
    x = (np.random.default_rng(1).normal(size=(30, 4)) * [3, 2, 1, 0.5]).astype(np.float32)
    scores, share = principal_components(x)
    values = np.sort(np.linalg.eigvalsh(np.cov(x, rowvar=False)))[::-1]
    np.testing.assert_allclose(scores.var(axis=0, ddof=1), values[:2], rtol=1e-4)
    np.testing.assert_allclose(share, values[:2] / values.sum(), rtol=1e-4)
    np.testing.assert_allclose(principal_components(x[:, :1])[0][:, 1], 0)


def test_a_few_far_points_do_not_squeeze_an_axis() -> None:
    assert axis_limits(np.arange(5.0)) == (0, 4), "no wider than the points"
    low, high = axis_limits(np.append(np.arange(100.0), 1e6))
    assert low == 0 and 140 < high < 150
    assert axis_limits(np.full(3, 7.0)) == (6, 8)
