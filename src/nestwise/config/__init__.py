"""The study file and the configuration of a run: YAML in, frozen records out, every problem at once.

In reading order:

- `study`, `missing`, `run`: every key a person may write; `words`: the names in them; `families`: which links
  go with which family.
- `treatments`: which fits the strategies for missing data ask for.
- `strict_yaml`: YAML as plain data, bounded in size.
- `load`: files in, checked records out, formulas included.
- `sections`: what each step reads of a study, so that only what a change touches runs again.
- `schema`: JSON schemas made from the records.
"""
