"""Metrics of clusterings: agreement with reference labels, shape in an embedding, agreement with one another."""

from ._clustering_report import clustering_report
from ._stability import stability

__all__ = ["clustering_report", "stability"]
