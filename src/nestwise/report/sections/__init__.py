"""The sections of a report, a file each: a function from the record to blocks, or None without content."""
