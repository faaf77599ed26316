"""Parameters whose cases do not hold yet, and why."""

METHODS = ("tl.contrastive", "tl.cicl", "tl.infovae", "tl.semiaae")
REASONS = {
    "n_top_genes": "genes of one rank are all selected",
}
UNNAMED = "the message about an unknown key does not name the parameter"

PENDING: dict[tuple[str, str], str] = {
    **{(method, parameter): reason for method in METHODS for parameter, reason in REASONS.items()},
    ("tl.semiaae", "labels_key"): UNNAMED,
    ("tl.semiaae", "unlabeled_category"): "another category makes one type more than `n_clusters`",
    ("tl.cluster", "use_rep"): UNNAMED,
    ("tl.consensus", "keys"): UNNAMED,
}
