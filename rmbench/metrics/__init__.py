"""Judgments and gold into values with intervals.

`measure` is the way in. `rmbench.metric_spec` has the table of rules: a rule is either linear, a credit per row
(`credit`), or a figure of all rows together, which `samples` lists by name.

- `rows`: a row's gold and answer as metrics read them, and which rows a metric counts.
- `credit`: the credit of a row: comparisons, both orders, human ties, candidates of a row, intransitive comparisons.
- `correlation`, `classes`, `ties`, `probing`, `policies`: figures of all rows; `means` and `noise` have the others.
- `uncertainty`: levels as weights, clustered samples, intervals and tests.
- `paired`: two models on the same rows under any rule.
- `judging`: what is reported of judges in addition.
"""
