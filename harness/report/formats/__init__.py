"""The report in other formats than the page: text for terminals, Markdown for pull requests, JSON for programs.

    told         what a report of one run says, from the functions that the page is made of
    as_text      that, and sections with tables, in 80 columns
    as_markdown  the same in GitHub-flavoured Markdown
    as_json      the figures themselves: numbers, with units in the names of their keys

Nothing is computed here: who is taken, how sure that is, when it flips and what it costs is asked of `decisions`,
`flips`, `harness.costs` and `trust`, and said by `words`. Imported by the `bench` command.
"""
