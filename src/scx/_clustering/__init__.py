"""Arrays and labels in, arrays and labels out."""
