"""From a file to a Dataset: found, read, typed, held against the study file, prepared.

In reading order:

- `dataset`: the record that comes out, and what is known of a variable.
- `bundled`, `source`: the data sets that come along; the file that a study names.
- `text_files`, `files`: any kind of file as one lazy table with row numbers.
- `casts`, `labels`, `factors`, `inferred_types`: columns and levels made into the types of a study.
- `read`, `typed`: all of these at once; the record of data that are typed and not yet judged.
- `derive`: group means, deviations, centring and scaling.
- `validation`: the record of a check and of all checks.
- `value_checks`, `column_checks`, `nesting_checks`, `time_checks`, `summary`: what is checked and described.
- `contract`: every check of a study, none of which raises.
- `relation`: known correlation between groups, from a square table.
- `prepare`: typed and valid data in, a `Dataset` out.
"""
