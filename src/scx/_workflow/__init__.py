"""The walk of a call: all that touches a user's AnnData."""
