"""The steps of a call, and everything that reads or writes a user's AnnData."""
