"""Parameters whose cases do not hold yet, and why."""

PENDING: dict[tuple[str, str], str] = {}
