"""One page a study: files in, a record, sections of blocks, HTML out.

In reading order:

- `collect`, `record`: the files of a study, as one record.
- `words`, `ways`: how things are called; five ways to write one model.
- `targets`: what a coefficient is of, and whom it is about; `estimation`: what was done for outcomes that
  are not Gaussian; `findings`: what such a study found.
- `covariance`, `grouping`: what a model assumes of its residuals and of its grouping factors.
- `trial`, `procedures`: the main result of a longitudinal trial; what was done by likelihood.
- `blocks`, `sections`: what a page is made of, and a function a section.
- `svg`, `render`: figures made safe for a page, and the page.
"""
