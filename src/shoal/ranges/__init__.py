"""Ranges: named lists and interval tables with sorted search; enrich, expressions and intel use them."""
