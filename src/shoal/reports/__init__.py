"""Pages for people: plain result objects in, one self-contained HTML file with plots out.

Every text that comes from a log is hostile: templates escape by default, and a page fetches nothing. Knows neither the
journal nor the engine; `runtime` computes, this package shows.
"""
