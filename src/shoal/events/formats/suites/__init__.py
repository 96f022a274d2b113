"""Readers of the audit logs of file-sharing suites: Google Workspace and Dropbox.

Each is a small module with its table in `tables`; both read what the vendor's API answers, page by page or record by
record. Nothing here holds state between blocks.
"""
