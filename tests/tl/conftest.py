import numpy as np
import pytest


@pytest.fixture
def embedded(pbmc):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 100)
    pbmc.obsm["X_rep"] = (rng.normal(size=(300, 6)) + 8 * np.eye(6)[groups]).astype(np.float32)
    pbmc.obs["groups"] = groups.astype(str)
    return pbmc
