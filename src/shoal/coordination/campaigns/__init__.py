"""Campaigns: groups of accounts that act as one, with the evidence, and who they are from night to night."""
