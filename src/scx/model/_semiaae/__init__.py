"""scSemiAAE: Wang, Wang, Zhao et al., BMC Bioinformatics 24:217 (2023)."""
