"""Campaigns in the stream: whose events come from a known campaign, and which events touch what one shares."""
