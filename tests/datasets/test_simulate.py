import pickle
import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

import scx

simulate = scx.datasets.simulate


def expected_moments(adata: ad.AnnData, bcv_common: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every count by Splatter's formulas, cell by cell; gamma-Poisson, `bcv_df` infinite."""
    means = np.empty(adata.shape)
    for i, cell in enumerate(adata.obs.itertuples()):
        relative = (
            adata.var["base_mean"] * adata.var[f"de_factor_{cell.group}"] * adata.var[f"batch_factor_{cell.batch}"]
        )
        means[i] = cell.library_size * relative / relative.sum()
    bcv = bcv_common + 1 / np.sqrt(means)
    return means, means + (bcv * means) ** 2


def assert_standard_normal(z: np.ndarray) -> None:
    """Mean 0 and standard deviation 1 within five standard errors."""
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert abs(z.std() - 1) < 5 / np.sqrt(2 * z.size)


def test_counts_in_sparse_float32():
    adata = simulate(30, 20)
    assert adata.shape == (30, 20)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    assert adata.X.has_canonical_format
    assert (adata.X.data > 0).all()
    np.testing.assert_array_equal(adata.X.data, adata.X.data.round())


def test_seed_decides_everything():
    options = {"n_batches": 2, "dropout_mid": 1.0}
    first, second, other = (
        simulate(200, 50, **options),
        simulate(200, 50, **options),
        simulate(200, 50, rng=1, **options),
    )
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert not np.array_equal(first.X.toarray(), other.X.toarray())
    assert not first.obs["group"].equals(other.obs["group"])


def test_generator_moves_on():
    generator = np.random.default_rng(5)
    first, second = simulate(50, 20, rng=generator), simulate(50, 20, rng=generator)
    np.testing.assert_array_equal(first.X.toarray(), simulate(50, 20, rng=5).X.toarray())
    assert not np.array_equal(first.X.toarray(), second.X.toarray())


def test_global_random_state_is_left_alone():
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    first = simulate(50, 20)
    np.random.seed(3)  # noqa: NPY002
    np.testing.assert_array_equal(simulate(50, 20).X.toarray(), first.X.toarray())
    np.random.set_state(pickle.loads(before))  # noqa: NPY002
    simulate(50, 20)
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"n_groups": 4}, [250, 250, 250, 250]),
        ({"n_groups": 1}, [1000]),
        ({"group_probs": [0.6, 0.3, 0.1]}, [600, 300, 100]),
        ({"group_probs": np.array([0.0126, 0.9874])}, [13, 987]),
    ],
)
def test_group_sizes(options, sizes):
    group = simulate(1000, 5, **options).obs["group"]
    assert group.value_counts(sort=False).tolist() == sizes
    assert group.cat.categories.tolist() == [str(k) for k in range(len(sizes))]


def test_rounded_shares_still_cover_all_cells():
    group = simulate(60_000, 1, group_probs=[0.33333] * 3).obs["group"]
    assert group.value_counts(sort=False).tolist() == [20_000] * 3


def test_uneven_groups_differ_by_one_cell():
    sizes = simulate(1000, 5, n_groups=12).obs["group"].value_counts(sort=False)
    assert sizes.index.tolist() == [str(k) for k in range(12)]  # 10 after 9
    assert set(sizes) == {83, 84}


def test_cells_are_in_random_order():
    adata = simulate(2000, 5, n_groups=2, n_batches=2)
    codes = adata.obs[["group", "batch"]].apply(lambda labels: labels.cat.codes)
    position = np.arange(adata.n_obs)
    for name in codes:
        assert abs(stats.spearmanr(codes[name], position).statistic) < 5 / np.sqrt(adata.n_obs)
    # batches hold 1000 cells each, and are independent of the groups
    table = pd.crosstab(adata.obs["group"], adata.obs["batch"])
    assert table.sum().tolist() == [1000, 1000]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_library_sizes_are_log_normal():
    adata = simulate(5000, 2, library_loc=6, library_scale=0.3)
    assert_standard_normal((np.log(adata.obs["library_size"].to_numpy()) - 6) / 0.3)


def test_counts_follow_library_groups_and_batches():
    adata = simulate(1500, 300, n_groups=3, n_batches=2, bcv_common=0.2, bcv_df=np.inf, library_loc=9, rng=1)
    means, variances = expected_moments(adata, 0.2)
    counts = adata.X.toarray()
    np.testing.assert_allclose(means.sum(axis=1), adata.obs["library_size"])
    assert_standard_normal((counts.sum(axis=1) - means.sum(axis=1)) / np.sqrt(variances.sum(axis=1)))
    z = [
        (counts[cells].sum(axis=0) - means[cells].sum(axis=0)) / np.sqrt(variances[cells].sum(axis=0))
        for cells in adata.obs.groupby(["group", "batch"], observed=True).indices.values()
    ]
    assert len(z) == 6
    assert_standard_normal(np.concatenate(z))


def test_variance_follows_the_trended_bcv():
    adata = simulate(4000, 60, n_groups=1, library_scale=0, library_loc=8, bcv_common=0.5, bcv_df=np.inf)
    _, variances = expected_moments(adata, 0.5)
    observed = adata.X.toarray().astype(np.float64).var(axis=0)
    abundant = adata.X.mean(axis=0).A1 > 5  # the variance of rare counts is too uncertain
    assert abundant.sum() > 20
    np.testing.assert_allclose(observed[abundant], variances[0][abundant], rtol=0.25)
    np.testing.assert_allclose((observed / variances[0])[abundant].mean(), 1, rtol=0.04)


def test_bcv_spreads_over_genes_by_an_inverse_chi_square():
    options = {"n_groups": 1, "library_scale": 0, "library_loc": 10, "mean_shape": 100, "outlier_prob": 0}

    def spread(bcv_df):
        adata = simulate(600, 500, bcv_df=bcv_df, **options)
        means, variances = expected_moments(adata, 0.1)
        return (adata.X.toarray().astype(np.float64).var(axis=0) - means[0]) / (variances[0] - means[0])

    df = 12
    inverse = stats.invgamma(df / 2, scale=df / 2)  # of df / χ²(df)
    observed = spread(df)
    assert abs(observed.mean() - inverse.mean()) < 5 * inverse.std() / np.sqrt(observed.size)
    np.testing.assert_allclose(observed.std(), inverse.std(), rtol=0.35)
    assert spread(np.inf).std() < 0.2


@pytest.mark.parametrize(("mid", "shape"), [(-1, -1), (1.5, -1), (1, -3), (2, 0.5)])
def test_dropout_is_logistic_in_the_log_of_the_rate(mid, shape):
    adata = simulate(
        4000, 40, n_groups=1, library_scale=0, library_loc=6, bcv_df=np.inf, dropout_mid=mid, dropout_shape=shape
    )
    means = expected_moments(adata, 0.1)[0][0]
    bcv = 0.1 + 1 / np.sqrt(means)
    quantiles = (np.arange(4_000)[:, None] + 0.5) / 4_000
    rates = np.maximum(stats.gamma.ppf(quantiles, 1 / bcv**2, scale=means * bcv**2), 1e-300)
    kept = 1 - 1 / (1 + np.exp(-shape * (np.log(rates) - mid)))
    positive = (kept * -np.expm1(-rates)).mean(axis=0)
    observed = (adata.X > 0).mean(axis=0)
    z = (np.asarray(observed).ravel() - positive) / np.sqrt(positive * (1 - positive) / adata.n_obs)
    assert_standard_normal(z)
    # counts that are kept are kept whole
    total = (kept * rates).mean(axis=0).sum()
    np.testing.assert_allclose(adata.X.sum() / adata.n_obs, total, rtol=0.03)


def test_no_dropout_by_default():
    options = {"n_groups": 1, "library_loc": 6}
    without = simulate(500, 40, **options)
    assert (without.X > 0).sum() > 1.2 * (simulate(500, 40, dropout_mid=1, **options).X > 0).sum()
    # a midpoint far below every rate loses nothing; one chunk, so that the draws before it are the same
    np.testing.assert_array_equal(without.X.toarray(), simulate(500, 40, dropout_mid=-20, **options).X.toarray())


def test_gene_means_are_gamma_with_outliers():
    plain = simulate(1, 5000, n_groups=1, outlier_prob=0).var["base_mean"].to_numpy()
    with_outliers = simulate(1, 5000, n_groups=1, outlier_prob=0.1, outlier_loc=3).var["base_mean"].to_numpy()
    assert stats.kstest(plain, stats.gamma(0.6).cdf).pvalue > 1e-4
    changed = plain != with_outliers
    assert stats.binomtest(int(changed.sum()), 5000, 0.1).pvalue > 1e-4
    factors = with_outliers[changed] / np.median(plain)
    assert stats.kstest(np.log(factors), stats.norm(3, 0.5).cdf).pvalue > 1e-4


@pytest.mark.parametrize("kind", ["de", "batch"])
def test_factors_are_folded_log_normal(kind):
    options = {f"{kind}_loc": 0.3, f"{kind}_scale": 0.4}
    if kind == "de":
        options |= {"n_groups": 2, "de_prob": 0.25, "de_down_prob": 0.2}
    else:
        options |= {"n_groups": 1, "n_batches": 2}
    prob, down_prob = (0.25, 0.2) if kind == "de" else (1, 0.5)
    var = simulate(2, 4000, **options).var
    logs = np.log(var[[f"{kind}_factor_0", f"{kind}_factor_1"]].to_numpy())
    assert abs(np.corrcoef(logs.T)[0, 1]) < 0.08
    changed = logs[logs != 0]
    assert stats.binomtest(changed.size, logs.size, prob).pvalue > 1e-4
    assert stats.binomtest(int((changed < 0).sum()), changed.size, down_prob).pvalue > 1e-4
    assert stats.kstest(np.abs(changed), stats.foldnorm(0.3 / 0.4, scale=0.4).cdf).pvalue > 1e-4


def test_one_batch_has_no_batch_effect():
    adata = simulate(10, 30, batch_loc=2)
    assert (adata.var["batch_factor_0"] == 1).all()
    assert adata.obs["batch"].cat.categories.tolist() == ["0"]


@pytest.mark.parametrize(("de_prob", "low", "high"), [(0.3, 0.95, 1), (0, -0.05, 0.05)])
def test_groups_can_be_told_apart_only_by_differential_expression(de_prob, low, high):
    adata = simulate(400, 300, n_groups=4, de_prob=de_prob, de_scale=0.6)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=10)
    clusters = KMeans(4, n_init=5, random_state=0).fit_predict(adata.obsm["X_pca"])
    assert low <= adjusted_rand_score(adata.obs["group"], clusters) <= high


def test_memory_grows_with_the_counts_that_are_not_zero():
    tracemalloc.start()
    try:
        adata = simulate(20_000, 1000, library_loc=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert adata.X.nnz < 0.02 * 20_000 * 1000
    assert peak < 20_000 * 1000 * 4 / 2  # half of a dense float32 matrix


def test_cells_without_counts_are_kept():
    adata = simulate(500, 20, library_loc=0)
    totals = adata.X.sum(axis=1).A1
    assert adata.n_obs == 500
    assert 0 < (totals == 0).sum() < 500
    sc.pp.filter_cells(adata, min_counts=1)
    assert adata.n_obs == (totals > 0).sum()


@pytest.mark.parametrize(
    ("options", "recorded", "left_out"),
    [
        (
            {"n_groups": 3, "rng": 7},
            {"n_obs": 40, "n_groups": 3, "de_scale": 0.4, "rng": 7},
            {"dropout_mid", "group_probs"},
        ),
        (
            {"group_probs": (0.75, 0.25), "dropout_mid": 0, "rng": np.random.default_rng(0)},
            {"group_probs": [0.75, 0.25], "dropout_mid": 0},
            {"n_groups", "rng"},
        ),
    ],
)
def test_is_written_and_read(tmp_path, options, recorded, left_out):
    adata = simulate(40, 20, n_batches=2, **options)
    adata.write_h5ad(tmp_path / "simulated.h5ad")
    back = ad.read_h5ad(tmp_path / "simulated.h5ad")
    np.testing.assert_array_equal(back.X.toarray(), adata.X.toarray())
    pd.testing.assert_frame_equal(back.obs, adata.obs, check_index_type=False)
    pd.testing.assert_frame_equal(back.var, adata.var, check_index_type=False)
    assert not left_out & back.uns["simulate"].keys()
    for name, value in recorded.items():
        np.testing.assert_array_equal(back.uns["simulate"][name], value)


def test_recorded_arguments_give_the_same_data():
    adata = simulate(40, 20, group_probs=[0.75, 0.25], dropout_mid=1, rng=3)
    np.testing.assert_array_equal(simulate(**adata.uns["simulate"]).X.toarray(), adata.X.toarray())


def test_default_number_of_groups_does_not_limit_the_cells_of_given_shares():
    assert simulate(2, 5, group_probs=[0.5, 0.5]).obs["group"].nunique() == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_obs": 0}, ValueError, "`n_obs` must be between 1 and"),
        ({"n_vars": 2.5}, TypeError, "`n_vars` must be a whole number"),
        ({"n_groups": 101}, ValueError, "`n_groups` must be between 1 and 100"),
        ({"n_batches": 0}, ValueError, "`n_batches` must be between 1"),
        ({"group_probs": [0.5, 0.4]}, ValueError, "`group_probs`.*sum 1.*Divide"),
        ({"group_probs": [1.5, -0.5]}, ValueError, "`group_probs` must be positive"),
        ({"group_probs": [np.nan, 1]}, ValueError, "`group_probs` must be positive"),
        ({"group_probs": []}, ValueError, "`group_probs` must be positive"),
        ({"group_probs": ["a", "b"]}, TypeError, "`group_probs` must be a list of numbers"),
        ({"group_probs": 1.0}, TypeError, "`group_probs` must be a list of numbers"),
        ({"group_probs": [0.999, 0.001]}, ValueError, r"`group_probs` leaves groups \[1\] without cells"),
        ({"mean_shape": 0}, ValueError, "`mean_shape` must be between 0.1"),
        ({"de_prob": 1.1}, ValueError, "`de_prob` must be between 0 and 1"),
        ({"de_down_prob": -0.1}, ValueError, "`de_down_prob` must be between 0 and 1"),
        ({"outlier_prob": np.nan}, ValueError, "`outlier_prob` must be between 0 and 1"),
        ({"library_scale": -1}, ValueError, "`library_scale` must be between 0 and"),
        ({"bcv_common": -1}, ValueError, "`bcv_common` must be between 0 and"),
        ({"bcv_df": 0}, ValueError, "`bcv_df` must be between 2 and inf"),
        ({"batch_scale": "0.1"}, TypeError, "`batch_scale` must be a number"),
        ({"dropout_mid": np.inf}, ValueError, "`dropout_mid` must be between"),
        ({"dropout_shape": None}, TypeError, "`dropout_shape` must be a number"),
        ({"library_loc": 18}, ValueError, "`library_loc=18`.*16,777,216.*Lower `library_loc`"),
        ({"rng": None}, TypeError, "`rng` must be a whole number or a numpy.random.Generator"),
        ({"rng": -1}, ValueError, "`rng` must be at least 0"),
    ],
)
def test_arguments_that_cannot_be_used(options, error, message):
    with pytest.raises(error, match=message):
        simulate(**{"n_obs": 100, "n_vars": 10, **options})
