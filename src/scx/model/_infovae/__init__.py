"""ScInfoVAE: Pan, Long & Pan, BioData Mining 16:17 (2023)."""
