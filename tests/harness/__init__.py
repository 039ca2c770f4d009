"""Storages that record, fail and lie, and the enumerator of what a crash may leave behind."""
