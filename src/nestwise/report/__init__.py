"""One report a study: collected from files into a record, laid out in sections, rendered as one page."""
