import numpy as np
import pytest
from sklearn.datasets import make_blobs


@pytest.fixture(scope="module")
def blobs():
    centers = np.eye(6)[:5] * 10
    return make_blobs([200, 100, 60, 40, 20], centers=centers, cluster_std=1.0, random_state=0)
