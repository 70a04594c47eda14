"""Datasets as files: written once under a path of their own, described by a manifest, never overwritten."""
