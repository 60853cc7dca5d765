"""The audit log; see README.md."""
