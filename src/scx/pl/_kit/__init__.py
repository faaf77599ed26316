"""What the plots share: see the names of the files."""
