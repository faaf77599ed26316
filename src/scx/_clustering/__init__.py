"""Clustering: arrays and labels in, arrays and labels out."""
