"""What a study costs: how large its data are, what steps took before, what a planned run will take.

In reading order: `size` (data as text, the measure of everything else), `batches` (work that is split),
`plan` (planned jobs in a table, with the time and memory that jobs like them took in earlier runs).
"""
