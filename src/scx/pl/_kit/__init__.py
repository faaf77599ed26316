"""What the plots share."""
