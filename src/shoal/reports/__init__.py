"""Pages for people: plain result objects in, one self-contained HTML file with plots out.

`page` makes the file, `plots` its pictures, `parts` the pieces that pages share; one module a report. Every text that
comes from a log is hostile: templates escape by default, plots parse no markup, and a page fetches nothing. Knows
neither the journal nor the engine; `runtime` computes, this package shows.
"""
